"""A program that uses the server as docs/server.md shows it, with libraries that know nothing of it.

Takes the path of the socket. Prints what it has seen, as one JSON object, for the test to judge.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import jsonrpcclient
import requests_unixsocket

URL = "http+unix://" + quote(sys.argv[1], safe="")
session = requests_unixsocket.Session()


def post(body):
    response = session.post(URL, json=body, timeout=60)
    response.raise_for_status()
    return response


def call(method, **arguments):
    return jsonrpcclient.parse(post(jsonrpcclient.request(method, arguments)).json())


seen = {}
seen["add"] = call("ovs.bridge-add", bridge="backplane").result
again = call("ovs.bridge-add", bridge="backplane")
seen["again"] = {"code": again.code, "message": again.message, "data": again.data}

batch = [jsonrpcclient.request("ovs.vlan-ensure", {"master": "backplane", "vlan": vlan}) for vlan in (1, 2, 5000)]
answers = {answer.id: answer for answer in jsonrpcclient.parse(post(batch).json())}
seen["batch"] = [
    answer.result if isinstance(answer, jsonrpcclient.Ok) else answer.data["field"]
    for answer in (answers[request["id"]] for request in batch)
]

notified = post(jsonrpcclient.notification("ovs.vlan-ensure", {"master": "backplane", "vlan": 3}))
seen["notified"] = [notified.status_code, notified.text]

with ThreadPoolExecutor(8) as pool:
    ensured = pool.map(lambda vlan: call("ovs.vlan-ensure", master="backplane", vlan=vlan).result, range(10, 30))
    seen["at once"] = list(ensured)

seen["methods"] = len(call("rpc.discover").result["methods"])
seen["health"] = session.get(URL + "/healthz", timeout=60).text
json.dump(seen, sys.stdout)
