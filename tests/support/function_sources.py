"""Pieces of functions that tests put together."""

from __future__ import annotations

#: Records something, without boto3: to import that in a hundred environments at once would take most of a test's time.
PUT = """
import http.client, os
from urllib.parse import urlsplit

def put(bucket, key):
    connection = http.client.HTTPConnection(urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, timeout=30)
    connection.request("PUT", "/" + bucket + "/" + key)
    assert connection.getresponse().status == 200
    connection.close()
"""

#: Comes back when a test has put the key there, without boto3 as well.
WAIT_FOR = """
import http.client, os, time
from urllib.parse import urlsplit

def wait_for(bucket, key, pause=0.1):
    connection = http.client.HTTPConnection(urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, timeout=60)
    while True:
        connection.request("HEAD", "/" + bucket + "/" + key)
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            return
        assert answer.status == 404
        time.sleep(pause)
"""
