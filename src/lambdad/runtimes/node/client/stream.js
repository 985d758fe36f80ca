'use strict';
// Answers in pieces: the global `awslambda`, and the stream that such a handler writes to.

const { Writable } = require('stream');
const { fault, forCaller } = require('./errors');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');
const HTTP_INTEGRATION = 'application/vnd.awslambda.http-integration-response';

class ResponseStream extends Writable {
  constructor(api, id, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this._api = api;
    this._id = id;
    this._contentType = 'application/octet-stream';
    this._prelude = undefined;
    this.isStarted = false;
    this.isEnded = new Promise((resolve) => {
      this._ended = resolve;
    });
    this.on('error', () => {}); // the handler hears of it; without a listener it would end the process
  }

  setContentType(contentType) {
    if (this.isStarted) throw fault('InvalidStreamingOperation', 'Cannot set content-type, too late.');
    this._contentType = contentType;
  }

  setPrelude(makePrelude) {
    this._prelude = makePrelude;
  }

  _write(chunk, encoding, done) {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) chunk = JSON.stringify(chunk);
    const piece = Buffer.from(chunk, encoding === 'buffer' ? undefined : encoding);
    this.start();
    this._api.sendPiece(piece, done);
  }

  _final(done) {
    this.start();
    this._ended();
    done();
  }

  start() {
    if (this.isStarted) return;
    this.isStarted = true;
    this._api.hold();
    this._api.startStream(this._id, this._contentType);
    if (this._prelude) this._api.sendPiece(this._prelude(), () => {});
  }
}

function installGlobal() {
  globalThisOf().awslambda = {
    streamifyResponse: (handler, options) => {
      handler[STREAMING] = 'response';
      if (options && options.highWaterMark !== undefined) handler[HIGH_WATER_MARK] = Number(options.highWaterMark);
      return handler;
    },
    HttpResponseStream: {
      from: (stream, metadata) => {
        stream.setContentType(HTTP_INTEGRATION);
        stream.setPrelude(() => Buffer.concat([Buffer.from(JSON.stringify(metadata)), Buffer.alloc(8)]));
        return stream;
      },
    },
  };
}

function globalThisOf() {
  return global;
}

function isStreaming(handler) {
  return handler[STREAMING] === 'response';
}

// Runs a streaming handler to the end of its answer.
async function runStreaming(handler, event, context, api, id, logError) {
  const stream = new ResponseStream(api, id, handler[HIGH_WATER_MARK]);
  try {
    const returned = handler(event, stream, context);
    if (!returned || typeof returned.then !== 'function') {
      throw fault('MalformedStreamingHandler', 'Streaming does not support non-async handlers.');
    }
    const result = await returned;
    if (result !== undefined) console.warn('Streaming handlers ignore return values.');
    if (!stream.writableEnded && !stream._writableState.ending) throw fault('InvalidStreamingOperation', 'Response stream is not finished.');
    await stream.isEnded;
    await api.finishStream();
  } catch (error) {
    logError(error);
    api.hold();
    if (stream.isStarted) await api.finishStream(forCaller(error));
    else await api.reportError(id, forCaller(error));
  }
}

module.exports = { installGlobal, isStreaming, runStreaming };
