'use strict';
// The console as functions on AWS have it: lines with time, request id and level, or JSON.

const fs = require('fs');
const util = require('util');
const { forLog, intoError } = require('./errors');

const LEVELS = { TRACE: 1, DEBUG: 2, INFO: 3, WARN: 4, ERROR: 5, FATAL: 6 };
const TEXT_FRAME = 0xa55a0003;
const JSON_FRAME = 0xa55a0002;
const METHODS = { trace: 'TRACE', debug: 'DEBUG', info: 'INFO', log: 'INFO', warn: 'WARN', error: 'ERROR', fatal: 'FATAL' };

let descriptor;
let isJson;
let least;
let requestId;
let tenantId; // for whom the invocation is, where the function has tenants

function setInvocation(id, tenant) {
  requestId = id;
  tenantId = tenant;
}

// By the function's variables.
function patchConsole() {
  descriptor = process.env._LAMBDA_TELEMETRY_LOG_FD;
  delete process.env._LAMBDA_TELEMETRY_LOG_FD;
  isJson = (process.env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
  least = isJson ? LEVELS[(process.env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()] || 0 : 0;
  for (const name of Object.keys(METHODS)) {
    const level = METHODS[name];
    console[name] = (...values) => write(level, values);
  }
}

function write(level, values) {
  if (LEVELS[level] < least) return;
  const time = new Date().toISOString();
  const text = isJson ? jsonLine(time, level, values) : `${time}\t${requestId}\t${level}\t${util.format(...values)}`;
  if (descriptor === undefined) {
    writeAll(1, Buffer.from(`${isJson ? text : text.replace(/\n/g, '\r')}\n`));
    return;
  }
  const body = Buffer.from(`${text}\n`);
  const head = Buffer.alloc(16);
  head.writeUInt32BE(((isJson ? JSON_FRAME : TEXT_FRAME) | (LEVELS[level] << 2)) >>> 0, 0);
  head.writeUInt32BE(body.length, 4);
  const now = Date.now() * 1000;
  head.writeUInt32BE(Math.floor(now / 0x100000000), 8);
  head.writeUInt32BE(now % 0x100000000, 12);
  writeAll(Number(descriptor), Buffer.concat([head, body]));
}

function jsonLine(timestamp, level, values) {
  const line = { timestamp, level, requestId, tenantId }; // JSON leaves out what is undefined
  if (values.length === 1) {
    line.message = values[0];
    try {
      return JSON.stringify(line, asJson);
    } catch (_circular) {
      line.message = util.format(values[0]);
      return JSON.stringify(line);
    }
  }
  line.message = util.format(...values);
  const error = values.find((value) => value instanceof Error);
  return JSON.stringify(error === undefined ? line : Object.assign(line, described(error)));
}

function described(error) {
  return { errorType: className(error), errorMessage: error.message, stackTrace: String(error.stack || '').split('\n') };
}

function className(error) {
  return (error.constructor && error.constructor.name) || 'UnknownError';
}

function asJson(_key, value) {
  if (value instanceof Error) return Object.assign(described(value), value);
  return typeof value === 'bigint' ? value.toString() : value;
}

// The log is a pipe that somebody may have made non-blocking; nothing is lost for that.
function writeAll(fd, data) {
  for (let sent = 0; sent < data.length; ) {
    try {
      sent += fs.writeSync(fd, data, sent);
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function error(title, thrown) {
  if (isJson) write('ERROR', [intoError(thrown)]);
  else write('ERROR', [`${title} \t${forLog(thrown)}`]);
}

module.exports = { error, patchConsole, setInvocation };
