"""A small static program that serves the Runtime API and says what it sees: a custom runtime, and all that an image needs."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

#: An event is a string: "read PATH", "list PATH", "write PATH", "env NAME", or anything else, for arguments, folder and user.
SOURCE = r"""
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static char text[65536], answer[32768], request[49152];
static size_t used;

static void say(const char *piece) {
    for (; *piece && used < sizeof answer - 8; piece++) {
        unsigned char c = *piece;
        if (c < 32 || c == '"' || c == '\\') used += sprintf(answer + used, "\\u%04x", c);
        else answer[used++] = c;
    }
    answer[used] = 0;
}

static void raw(const char *piece) { used += snprintf(answer + used, sizeof answer - used, "%s", piece); }

static void ask(int api) {
    size_t size = 0, wanted = 0;
    char *end = NULL, *length;
    if (write(api, request, strlen(request)) < 0) exit(1);
    while (end == NULL || size < wanted) {
        ssize_t count = read(api, text + size, sizeof text - 1 - size);
        if (count < 0 && errno == EAGAIN) { /* some versions of gVisor do not wait */
            struct pollfd waiting = {api, POLLIN, 0};
            poll(&waiting, 1, -1);
            continue;
        }
        if (count <= 0) exit(1);
        size += count;
        text[size] = 0;
        if (end == NULL && (end = strstr(text, "\r\n\r\n")) != NULL) {
            length = strcasestr(text, "\r\nContent-Length:");
            wanted = end + 4 - text + (length ? atol(length + 17) : 0);
        }
    }
}

static void fault(void) { raw("\"errno "); say(strerror(errno)); raw("\""); }

static void do_read(const char *path) {
    static char data[8192];
    FILE *file = fopen(path, "r");
    size_t size;
    if (!file) { fault(); return; }
    size = fread(data, 1, sizeof data - 1, file);
    data[size] = 0;
    fclose(file);
    raw("\""); say(data); raw("\"");
}

static void do_list(const char *path) {
    DIR *folder = opendir(path);
    struct dirent *entry;
    int count = 0;
    if (!folder) { fault(); return; }
    raw("[");
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) {
            raw(count++ ? ",\"" : "\""); say(entry->d_name); raw("\"");
        }
    closedir(folder);
    raw("]");
}

static void do_write(const char *path) {
    FILE *file = fopen(path, "w");
    if (!file) { fault(); return; }
    fclose(file);
    raw("\"written\"");
}

int main(int count, char **arguments) {
    char host[64] = "", id[64], folder[512], event[4096], *port, *value;
    struct sockaddr_in address = {.sin_family = AF_INET};
    int api = socket(AF_INET, SOCK_STREAM, 0);
    strncpy(host, getenv("AWS_LAMBDA_RUNTIME_API"), sizeof host - 1);
    port = strchr(host, ':');
    *port = 0;
    address.sin_port = htons(atoi(port + 1));
    inet_aton(host, &address.sin_addr);
    if (connect(api, (struct sockaddr *)&address, sizeof address)) return 1;
    for (;;) {
        strcpy(request, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n");
        ask(api);
        sscanf(strcasestr(text, "Lambda-Runtime-Aws-Request-Id:") + 30, " %63[^\r]", id);
        strncpy(event, strstr(text, "\r\n\r\n") + 4, sizeof event - 1);
        if (event[0] == '"') { memmove(event, event + 1, strlen(event)); event[strlen(event) - 1] = 0; }
        used = 0;
        if (!strncmp(event, "read ", 5)) do_read(event + 5);
        else if (!strncmp(event, "list ", 5)) do_list(event + 5);
        else if (!strncmp(event, "write ", 6)) do_write(event + 6);
        else if (!strncmp(event, "env ", 4)) {
            value = getenv(event + 4);
            if (value) { raw("\""); say(value); raw("\""); } else raw("null");
        } else {
            raw("{\"arguments\":[");
            for (int n = 0; n < count; n++) { raw(n ? ",\"" : "\""); say(arguments[n]); raw("\""); }
            raw("],\"folder\":\"");
            say(getcwd(folder, sizeof folder));
            used += sprintf(answer + used, "\",\"user\":%d}", getuid());
        }
        snprintf(request, sizeof request,
                 "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: runtime\r\nContent-Length: %zu\r\n\r\n%s",
                 id, strlen(answer), answer);
        ask(api);
    }
}
"""


@functools.cache
def _built() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "main.c").write_text(SOURCE)
        command = ["cc", "-D_GNU_SOURCE", "-static", "-O1", "-w", "-o", "program", "main.c"]
        subprocess.run(command, cwd=folder, check=True, timeout=60, capture_output=True)
        return Path(folder, "program").read_bytes()


def probe_program() -> bytes:
    """The program; skips where there is no C compiler."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    return _built()
