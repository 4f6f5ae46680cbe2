# SPDX-License-Identifier: MIT
"""A client of a Berth host, written from berth-rpc(7) alone, with the standard library.

    client.py SOCKET            checks what the page promises; prints a line for each thing
    client.py SOCKET PAGE       plays the examples of the page
"""

import itertools
import json
import queue
import socket
import sys
import threading

PATIENCE = 100


class Failure(Exception):
    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.name = error["data"]["code"]


class Client:
    """One connection; several threads may call at once."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.ids = itertools.count(1)
        self.lock = threading.Lock()
        self.waiting = {}
        self.messages = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.socket.makefile("r", encoding="utf-8"):
            answer = json.loads(line)
            if "method" in answer:
                self.messages.put((answer["method"], answer["params"]))
            else:
                self.waiting.pop(answer["id"]).put(answer)

    def _send(self, request):
        with self.lock:
            self.socket.sendall(json.dumps(request).encode() + b"\n")

    def begin(self, method, *args, **named):
        number = next(self.ids)
        self.waiting[number] = answer = queue.Queue()
        request = {"jsonrpc": "2.0", "method": method, "id": number}
        if args or named:
            request["params"] = named or list(args)
        self._send(request)
        return answer

    @staticmethod
    def end(answer):
        answer = answer.get(timeout=PATIENCE)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer["result"]

    def call(self, method, *args, **named):
        return self.end(self.begin(method, *args, **named))

    def notify(self, method, *args):
        self._send({"jsonrpc": "2.0", "method": method, "params": list(args)})

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


def expect(what, actual, wanted):
    print(("ok" if actual == wanted else f"wrong: got {actual!r}, not {wanted!r}:"), what)


def failure(client, method, *args):
    try:
        return client.call(method, *args)
    except Failure as error:
        return error.code, error.name


def check(path):
    client = Client(path)
    expect("by position", client.call("math.divide", 6, 4), 1.5)
    expect("by name", client.call("math.divide", b=4, a=6), 1.5)
    expect("a large integer", client.call("math.negate", -(2**63 - 1)), 2**63 - 1)
    expect("call", client.call("call", function="math.add", args=[1, 2], timeout_ms=60000), 3)
    expect("an error", failure(client, "math.divide", 1, 0), (-32003, "invalid_argument"))
    expect("no function", failure(client, "math.nix"), (-32601, "not_found"))
    expect("no module", failure(client, "host.unload", "nix"), (-32005, "not_found"))
    slow = client.begin("sleeper.nap", 300)
    expect("beside a slow call", client.call("math.add", 2, 2), 4)
    expect("the slow one", client.end(slow), 300)
    number = client.call("subscribe", topics=["news.>"])
    client.notify("publish", "news.text", {"text": "hé", "number": 7})
    method, params = client.messages.get(timeout=PATIENCE)
    expect("a message", (method, params["subscription"], params["fields"]),
           ("message", number, {"text": "hé", "number": 7}))
    expect("unsubscribe", client.call("unsubscribe", number), None)
    names = [module["name"] for module in client.call("host.list")["modules"]]
    expect("the list", {"host", "math", "control"} <= set(names), True)
    methods = {method["name"]: method for method in client.call("rpc.discover")["methods"]}
    expect("discovery", [param["name"] for param in methods["math.divide"]["params"]], ["a", "b"])
    expect("its own methods", {"call", "publish", "subscribe", "unsubscribe"} <= set(methods), True)
    client.close()


def play(path, page):
    """Sends what the page sends, and compares each line that comes with the page's."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE)
    connection.connect(path)
    lines = connection.makefile("r", encoding="utf-8")
    with open(page, encoding="utf-8") as text:
        for line in text:
            line = line.rstrip("\n").replace("\\-", "-").replace("\\e", "\\")
            if line.startswith("--> "):
                connection.sendall(line[4:].encode() + b"\n")
            elif line.startswith("<-- "):
                expect(line, lines.readline().rstrip("\n"), line[4:])


if __name__ == "__main__":
    if len(sys.argv) == 2:
        check(sys.argv[1])
    else:
        play(sys.argv[1], sys.argv[2])
