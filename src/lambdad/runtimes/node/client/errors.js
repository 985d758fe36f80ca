'use strict';
// Errors as callers and the log get them.

const util = require('util');

class RuntimeFault extends Error {
  constructor(type, reason) {
    super(reason === undefined ? '' : String(reason));
    this.name = type;
    Object.defineProperty(this, 'stack', { value: this.stack, writable: true, enumerable: false });
    // The stack was written down before the name was known.
    const stack = reason instanceof Error ? reason.stack : this.stack;
    const frames = String(stack || '').split('\n').filter((line) => /^\s+at /.test(line));
    this.stack = [`${type}: ${this.message}`, ...frames].join('\n');
  }
}

function fault(type, reason) {
  return new RuntimeFault(`Runtime.${type}`, reason);
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

// What stands in the log behind "Invoke Error".
function forLog(error) {
  if (!isError(error)) return JSON.stringify(forCaller(error));
  const shown = { errorType: error.name, errorMessage: error.message };
  for (const name of Object.keys(error)) if (name !== 'name' && name !== 'message' && name !== 'stack') shown[name] = error[name];
  shown.stack = String(error.stack || '').split('\n');
  try {
    return JSON.stringify(shown, (_key, value) => (value instanceof Error ? forCaller(value) : value));
  } catch (_circular) {
    return JSON.stringify(forCaller(error));
  }
}

module.exports = { fault, forCaller, forLog, isError };
