"""A real S3 server on loopback (moto) with the data of a test, whose answers can be spoiled on purpose."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "idc-open-data"


logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request


class Store:
    """The server: `objects` of its bucket, how often each was fetched, and what goes wrong with which (`faults`).

    A fault is a word by key, or by "*" for all: `busy` answers 503, `gone` 404, `cut` ends the answer half-way,
    `short` says so in its length, `damaged` flips a byte (`damaged once` the first time only), `slow` waits.
    """

    def __init__(self, url: str, client: object):
        self.url, self.client = url, client
        self.faults: dict[str, str] = {}
        self.fetched: Counter[str] = Counter()

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=key, Body=body, ACL="public-read")

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=key)


@contextmanager
def s3_server() -> Iterator[Store]:
    """Serve an empty public bucket; S3_ENDPOINT_URL, which s5cmd reads, names it meanwhile."""
    store: Store
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, lambda e, s: spoiled(app, store, e, s), threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    store = Store(url, client)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    before = os.environ.get("S3_ENDPOINT_URL")
    os.environ["S3_ENDPOINT_URL"] = url
    try:
        client.create_bucket(Bucket=BUCKET)
        yield store
    finally:
        if before is None:
            del os.environ["S3_ENDPOINT_URL"]
        else:
            os.environ["S3_ENDPOINT_URL"] = before
        server.shutdown()
        thread.join()


def spoiled(app: Callable, store: Store, environ: dict, start: Callable) -> Iterator[bytes]:
    """The server's answer, after what `store.faults` does to it."""
    key = environ["PATH_INFO"].removeprefix(f"/{BUCKET}/")
    reads_object = environ["REQUEST_METHOD"] == "GET" and key.endswith(".dcm")
    fault = store.faults.get("*") or (store.faults.get(key) if reads_object else None)
    if reads_object:
        store.fetched[key] += 1
    if fault == "busy" and environ["REQUEST_METHOD"] == "GET":
        start("503 Service Unavailable", [("Content-Type", "application/xml")])
        return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]
    if fault == "slow" and reads_object:
        time.sleep(0.2)
    if fault == "gone" and reads_object:
        start("404 Not Found", [("Content-Type", "application/xml")])
        return [b"<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"]
    if fault == "damaged once" and store.fetched[key] > 1:
        fault = None
    if not reads_object or fault in (None, "slow"):
        return app(environ, start)
    sent = []
    body = b"".join(app(environ, lambda status, headers, *rest: sent.append((status, headers))))
    (status, headers) = sent[0]
    half = body[: len(body) // 2]
    if fault == "short":
        headers = [(n, str(len(half)) if n.lower() == "content-length" else v) for n, v in headers]
        headers = [(n, v) for n, v in headers if n.lower() != "content-range"]
    start(status, headers)
    return [bytes([body[0] ^ 1]) + body[1:] if fault.startswith("damaged") else half]
