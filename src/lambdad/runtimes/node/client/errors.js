'use strict';
// Errors as callers and the log get them.

const util = require('util');

class RuntimeFault extends Error {
  constructor(type, reason) {
    super(reason === undefined ? '' : String(reason));
    Object.defineProperty(this, 'name', { value: type }); // hidden, as those of Node.js: the log shows what is not
    Object.defineProperty(this, 'stack', { value: this.stack, writable: true, enumerable: false });
    // The stack was written down before the name was known.
    const stack = reason instanceof Error ? reason.stack : this.stack;
    const frames = String(stack || '').split('\n').filter((line) => /^\s+at /.test(line));
    this.stack = [`${type}: ${this.message}`, ...frames].join('\n');
  }
}

// Of a class of its own, since JSON logs name classes.
function fault(type, reason) {
  const Fault = { [type]: class extends RuntimeFault {} }[type];
  return new Fault(`Runtime.${type}`, reason);
}

function isError(value) {
  return util.types.isNativeError(value) || (value instanceof Error) || isErrorLike(value);
}

function isErrorLike(value) {
  return Boolean(value && value.name && value.message && value.stack);
}

// What a caller gets. Whatever was thrown, there is an answer.
function forCaller(error) {
  try {
    if (isError(error)) {
      return {
        errorType: String(error.name),
        errorMessage: String(error.message),
        trace: String(error.stack || '').split('\n'),
      };
    }
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  } catch (_another) {
    return { errorType: 'handled', errorMessage: 'callback called with Error argument, but there was a problem while retrieving one or more of its message, name, and stack', trace: [] };
  }
}

// What stands in the log behind "Invoke Error": an error with all that it has, and so whatever else was thrown.
function forLog(thrown) {
  const error = intoError(thrown);
  try {
    return JSON.stringify(withProperties(error), (_key, value) => (value instanceof Error ? withProperties(value) : value));
  } catch (_circular) {
    return JSON.stringify(forCaller(error));
  }
}

function intoError(thrown) {
  try {
    if (isError(thrown)) return thrown;
  } catch (_liar) {
    // what it says of itself cannot be read
  }
  return new Error(forCaller(thrown).errorMessage);
}

function withProperties(error) {
  const shown = Object.assign({ errorType: error.name, errorMessage: error.message, code: error.code }, error);
  if (typeof error.stack === 'string') shown.stack = error.stack.split('\n');
  return shown;
}

module.exports = { fault, forCaller, forLog, intoError, isError };
