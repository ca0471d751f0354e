//! The re-implementation of the host agent's reader does what the agent was observed to do.

use crate::support::agent_reader::{self as agent, Message, READ_MAX, Reader, cut, result_of};

fn messages(pieces: &[&str]) -> Vec<(u64, String)> {
    let mut reader = Reader::new(1);
    for piece in pieces {
        reader.read(piece.as_bytes());
    }
    reader.finish().into_iter().map(|Message { level, data }| (level, String::from_utf8(data).unwrap())).collect()
}

fn result(pieces: &[&str]) -> Option<(u64, String)> {
    let result = result_of(pieces.iter().map(|piece| piece.as_bytes()))?;
    Some((result.level, String::from_utf8(result.data).unwrap()))
}

fn json(data: &str) -> Option<(u64, String)> {
    Some((20, data.to_owned()))
}

#[test]
fn a_block_is_a_result_with_its_data_untrimmed() {
    assert_eq!(result(&["20:::1\n:::\n"]), json("1"));
    assert_eq!(result(&["20:::1\n\n:::\n"]), json("1\n"));
    assert_eq!(result(&["20::: 1 \n:::\n"]), json(" 1 "));
    assert_eq!(result(&["20::::x\n:::\n"]), json(":x"));
    assert_eq!(result(&["20:::a\nb\n:::\n"]), json("a\nb"));
    assert_eq!(result(&["23:::1\n:::\n"]), Some((23, "1".into())));
    assert_eq!(result(&["8:::1\n:::\n"]), None);
}

#[test]
fn a_line_is_a_message_and_may_be_the_result() {
    assert_eq!(messages(&["8::warn\n", "text\n"]), [(8, "warn\n".into()), (1, "text\n".into())]);
    assert_eq!(result(&["20::1\n"]), json("1\n"));
    assert_eq!(messages(&["20::on", "e\n"]), [(20, "on".into()), (1, "e\n".into())]);
}

#[test]
fn a_header_counts_at_the_start_of_a_line_or_of_a_read_only() {
    assert_eq!(result(&["hello 20:::1\n:::\n"]), None);
    assert_eq!(result(&[" 20:::1\n:::\n"]), None);
    assert_eq!(result(&["hello\n20:::1\n:::\n"]), json("1"));
    assert_eq!(result(&["hello ", "20:::1\n:::\n"]), json("1"));
    assert_eq!(result(&["20:", "::1\n:::\n"]), None);
    assert_eq!(messages(&["2001::1 is an address\n"]), [(2001, "1 is an address\n".into())]);
}

#[test]
fn what_looks_like_a_terminator_inside_of_a_line_is_data() {
    assert_eq!(result(&["20:::a:::b\n:::\n"]), json("a:::b"));
    assert_eq!(result(&["20:::\"a\\n:::\\n\"\n:::\n"]), json("\"a\\n:::\\n\""));
    assert_eq!(result(&["20:::{\n:::\n}\n:::\n"]), json("{"));
    assert_eq!(result(&["20:::1\r\n:::\r\n"]), None);
}

#[test]
fn what_is_not_terminated_is_lost() {
    assert_eq!(messages(&["20:::1\n"]), []);
    assert_eq!(result(&["20:::1\n:::"]), None);
    assert_eq!(result(&["20:::1", "\n"]), None);
}

#[test]
fn a_terminator_that_is_cut_after_two_three_or_four_bytes_is_none() {
    for (at, expected) in [(0, json("1")), (1, json("1\n")), (2, None), (3, None), (4, None), (5, json("1"))] {
        let (one, two) = "20:::1\n:::\n".split_at("20:::1".len() + at);
        assert_eq!(result(&[one, two]), expected, "cut after {at} bytes");
    }
}

/// The agent was seen to lose every answer that one write ended 4, 3 or 2 bytes into its terminator at a full read.
#[test]
fn an_answer_without_padding_is_lost_where_the_terminator_crosses_a_full_read() {
    for multiple in [1, 2, 7, 32] {
        for before in 0..8 {
            let start = multiple * READ_MAX - before;
            let answer = format!("20:::{}\n:::\n", "7".repeat(start - "20:::".len()));
            let lost = result_of(cut(answer.as_bytes(), &[])).is_none();
            assert_eq!(lost, [2, 3, 4].contains(&before), "{before} bytes before {multiple} full reads");
        }
    }
}

#[test]
fn one_character_behind_a_block_is_skipped() {
    let second_as_level_0 = [(20, "1".into()), (1, "2".into()), (0, "2".into())];
    assert_eq!(messages(&["20:::1\n:::\n20:::2\n:::\n"]), second_as_level_0);
    assert_eq!(result(&["20:::1\n:::\n\n20:::2\n:::\n"]), json("2"));
    assert_eq!(result(&["20:::1\n:::\n", "20:::2\n:::\n"]), json("2"));
    assert_eq!(messages(&["20:::1\n:::\n8::warn\n"])[2], (1, "::warn\n".into()));
    assert_eq!(messages(&["8::warn\n20:::1\n:::\n"]), [(8, "warn\n".into()), (20, "1".into())]);
}

#[test]
fn the_last_result_of_either_pipe_wins() {
    assert_eq!(result(&["20::1\n21::2\n9::3\n"]), Some((21, "2\n".into())));
    let mut stderr = Reader::new(2);
    stderr.read(b"20::oops\n");
    let stdout = Message { level: 20, data: b"1".to_vec() };
    let both: Vec<_> = [stdout].into_iter().chain(stderr.finish()).collect();
    assert_eq!(agent::result(&both).unwrap().data, b"oops\n");
}

#[test]
fn a_level_over_16_bits_is_no_result() {
    assert_eq!(result(&["65556:::1\n:::\n"]), None);
    assert_eq!(result(&["18446744073709551636:::1\n:::\n"]), None);
}
