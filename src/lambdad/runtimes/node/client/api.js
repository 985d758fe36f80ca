'use strict';
// The Runtime API as an HTTP/1.1 client on one kept-alive connection. Runs on Node.js 10 and later.
//
// An answer and the question for the next invocation leave in one write, so that a warm invocation costs one write and one read.

const net = require('net');

const API = '/2018-06-01/runtime/';
// The service's limit, 6 MiB + 100 bytes. Longer answers are refused with 413 and end the connection.
const MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100;
const HEAD_END = Buffer.from('\r\n\r\n');

class Api {
  constructor(address) {
    this._address = address;
    this._asked = false; // whether the request for the next invocation is on its way
    this._isNeeded = true; // whether the connection keeps the process alive
    this._waiting = []; // what resolves the promise of each request that has no answer yet
    this._connect();
  }

  // Waits, without any limit, for an invocation; the process may be frozen meanwhile.
  async next() {
    if (!this._asked) this._write(this._request('GET', 'invocation/next', []));
    this._asked = false;
    const answer = await this._answer();
    if (answer.status !== 200) throw new Error(`the Runtime API refused an invocation: ${answer.status} ${answer.body}`);
    return answer;
  }

  async respond(id, body) {
    await this._post(`invocation/${id}/response`, Buffer.from(body), ['Content-Type: application/json']);
  }

  async reportError(id, error) {
    await this._post(`invocation/${id}/error`, errorBody(error), errorHeaders(error));
  }

  // Without a question for the next invocation: the process is about to end.
  async reportLastError(id, error) {
    const path = id === undefined ? 'init/error' : `invocation/${id}/error`;
    const body = errorBody(error);
    this.hold();
    this._write(Buffer.concat([this._request('POST', path, [`Content-Length: ${body.length}`, ...errorHeaders(error)]), body]));
    await this._answer();
  }

  // The head of an answer that comes in pieces; `finishStream` ends it.
  startStream(id, contentType) {
    this._write(
      this._request('POST', `invocation/${id}/response`, [
        `Content-Type: ${contentType}`,
        'Lambda-Runtime-Function-Response-Mode: streaming',
        'Transfer-Encoding: chunked',
        'Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
      ])
    );
  }

  // `written` is called when the connection can take more.
  sendPiece(piece, written) {
    if (piece.length === 0) return written();
    this._connected().write(Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]), () => written());
  }

  async finishStream(error) {
    let trailers = '';
    if (error) {
      const encoded = errorBody(error).toString('base64');
      trailers = `Lambda-Runtime-Function-Error-Type: ${headerText(error.errorType)}\r\n`;
      trailers += `Lambda-Runtime-Function-Error-Body: ${encoded}\r\n`;
    }
    this._write(Buffer.from(`0\r\n${trailers}\r\n`));
    await this._answer();
  }

  // While a function runs, the connection alone must not keep the process from finding that nothing is left to do.
  release() {
    this._isNeeded = false;
    this._connected().unref();
  }

  hold() {
    this._isNeeded = true;
    this._connected().ref();
  }

  async _post(path, body, headers) {
    this.hold();
    const message = [this._request('POST', path, [`Content-Length: ${body.length}`, ...headers]), body];
    if (body.length <= MAX_RESPONSE_BYTES) {
      message.push(this._request('GET', 'invocation/next', []));
      this._asked = true;
    }
    const answer = this._answer();
    this._write(Buffer.concat(message));
    check(await answer);
  }

  _request(method, path, headers) {
    return Buffer.from(`${[`${method} ${API}${path} HTTP/1.1`, `Host: ${this._address}`, ...headers].join('\r\n')}\r\n\r\n`, 'latin1');
  }

  _connect() {
    const [host, port] = this._address.split(':');
    const socket = net.connect({ host, port: Number(port), noDelay: true });
    socket.setNoDelay(true);
    this._received = Buffer.alloc(0);
    this._socket = socket;
    socket.on('data', (data) => {
      this._received = this._received.length === 0 ? data : Buffer.concat([this._received, data]);
      this._read();
    });
    socket.on('error', () => {}); // followed by 'close'
    socket.on('close', () => this._closed(socket));
    if (!this._isNeeded) socket.unref();
  }

  // Who waits for an answer then waits for an environment that is being taken down, and nobody is to hear of that.
  _closed(socket) {
    if (socket !== this._socket) return; // a refused answer has ended it, and there is another one
    if (this._waiting.length > 0) process.exit(1);
    this._socket = null;
  }

  _connected() {
    if (this._socket === null) this._connect();
    return this._socket;
  }

  _write(data) {
    this._connected().write(data);
  }

  _answer() {
    return new Promise((resolve) => {
      this._waiting.push(resolve);
      this._read();
    });
  }

  _read() {
    while (this._waiting.length > 0) {
      const end = this._received.indexOf(HEAD_END);
      if (end < 0) return;
      const head = this._received.toString('latin1', 0, end);
      const length = /\r\ncontent-length: *(\d+)/i.exec(head);
      const start = end + HEAD_END.length;
      const stop = start + (length ? Number(length[1]) : 0);
      if (this._received.length < stop) return;
      const body = this._received.toString('utf8', start, stop);
      this._received = this._received.slice(stop);
      if (/\r\nconnection: *close/i.test(head)) {
        this._socket.destroy();
        this._connect();
      }
      this._waiting.shift()(new Answer(head, body));
    }
  }
}

class Answer {
  constructor(head, body) {
    this.status = Number(head.slice(9, 12)); // after "HTTP/1.1 "
    this.body = body;
    this._head = head;
  }

  // By lower-case name.
  headers() {
    const found = {};
    for (const line of this._head.split('\r\n').slice(1)) {
      const colon = line.indexOf(':');
      found[line.slice(0, colon).toLowerCase()] = Buffer.from(line.slice(colon + 1).trim(), 'latin1').toString('utf8');
    }
    return found;
  }
}

// 413 has been told to the caller already, and the environment goes on; whatever else is refused must not be lost.
function check(answer) {
  if ((answer.status < 200 || answer.status >= 300) && answer.status !== 413) {
    throw new Error(`the Runtime API refused an answer: ${answer.status} ${answer.body}`);
  }
}

function errorBody(error) {
  return Buffer.from(JSON.stringify(error));
}

function errorHeaders(error) {
  return ['Content-Type: application/json', `Lambda-Runtime-Function-Error-Type: ${headerText(error.errorType)}`];
}

// A class name may hold any letter; a header may not.
function headerText(text) {
  return String(text).replace(/[^\x20-\x7e]/g, (letter) => encodeURIComponent(letter.replace(/[\ud800-\udfff]/g, '?')));
}

module.exports = { Api };
