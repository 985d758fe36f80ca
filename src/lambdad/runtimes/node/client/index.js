'use strict';
// The runtime of Node.js functions: loads the handler, then answers one invocation after another. Runs on Node.js 10 and later.

const { whenFunctionIsKnown } = require('./boot');
const log = require('./log');
const { Api } = require('./api');
const { fault, forCaller } = require('./errors');
const { loadHandler } = require('./load');
const { makeContext } = require('./context');
const { teachEndpointVariables } = require('./old_sdk');
const { installGlobal, isStreaming, runStreaming } = require('./stream');

const MAJOR = Number(process.versions.node.split('.')[0]);
const HAS_CALLBACKS = MAJOR < 24;
const MUST_SETTLE = MAJOR >= 18; // the promise of an async function, or the invocation fails
const UNSETTLED =
  'The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that was never settled. ' +
  'For more information, see https://nodejs.org/docs/latest/api/process.html#exit-codes';
const UNCAUGHT = 129;
const UNHANDLED = 128;

let api;
let currentId; // of the invocation that has no answer yet
let isLoaded = false;
let isEnding = false;
let answering = null; // settled when the answer under way has arrived
let whenIdle = null; // what is left to do when the event loop is empty

async function main() {
  await whenFunctionIsKnown();
  api = new Api(process.env.AWS_LAMBDA_RUNTIME_API);
  log.patchConsole();
  installGlobal();
  teachEndpointVariables();
  process.on('uncaughtException', (error) => end('Uncaught Exception', error, UNCAUGHT));
  process.on('unhandledRejection', (reason, promise) => end('Unhandled Promise Rejection', rejection(reason, promise), UNHANDLED));
  process.on('beforeExit', () => {
    const idle = whenIdle;
    whenIdle = null;
    if (idle !== null) idle();
  });
  let handler;
  try {
    handler = await loadHandler(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
    if (!HAS_CALLBACKS && !isStreaming(handler) && handler.length >= 3) {
      throw fault(
        'CallbackHandlerDeprecated',
        'ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. ' +
          'You need to modify this function to use a supported handler signature to use Node.js 24 or later.'
      );
    }
  } catch (error) {
    await end('Uncaught Exception', error, 1);
    return;
  }
  isLoaded = true;
  for (;;) await serveOne(handler);
}

async function serveOne(handler) {
  const invocation = await api.next();
  const headers = invocation.headers();
  const id = headers['lambda-runtime-aws-request-id'];
  currentId = id;
  log.setInvocation(id, headers['lambda-runtime-aws-tenant-id']);
  setTrace(headers['lambda-runtime-trace-id']);
  api.release();
  try {
    const event = JSON.parse(invocation.body);
    const context = makeContext(headers);
    if (isStreaming(handler)) {
      await runStreaming(handler, event, context, api, id, (error) => log.error('Invoke Error', error));
    } else {
      const body = await run(handler, event, context);
      currentId = undefined;
      answering = api.respond(id, body);
      await answering;
    }
  } catch (error) {
    if (isEnding) return never();
    if (currentId === undefined) throw error; // the answer could not be sent
    currentId = undefined;
    log.error('Invoke Error', error);
    await api.reportError(id, forCaller(error));
  }
  currentId = undefined;
  api.hold();
}

// The body of the answer; rejected with what the handler failed with.
function run(handler, event, context) {
  return new Promise((resolve, reject) => {
    let isDone = false;
    let waits = true;
    const finish = (error, result) => {
      if (isDone) return; // late: `whenIdle` may be the next invocation's by now
      isDone = true;
      whenIdle = null;
      if (error !== undefined && error !== null) reject(error);
      else serialize(result, resolve, reject);
    };
    const callback = (error, result) => {
      if ((error !== undefined && error !== null) || !waits) finish(error, result);
      else if (!isDone) whenIdle = () => finish(null, result);
    };
    if (HAS_CALLBACKS) addOldWays(context, finish, () => waits, (value) => (waits = value));
    let returned;
    const fail = () => finish(fault('NodeJsExit', UNSETTLED));
    whenIdle = MUST_SETTLE && isAsync(handler) ? fail : () => finish(null, null);
    try {
      returned = HAS_CALLBACKS ? handler(event, context, callback) : handler(event, context);
    } catch (error) {
      finish(error);
      return;
    }
    if (returned && typeof returned.then === 'function') {
      if (!HAS_CALLBACKS) whenIdle = fail;
      returned.then((result) => finish(null, result), (error) => finish(error === undefined || error === null ? 'handled' : error));
    } else if (!HAS_CALLBACKS) {
      finish(null, returned);
    }
  });
}

// Written so; what compilers make of it for old versions of the language is an ordinary function.
function isAsync(handler) {
  return Boolean(handler.constructor) && handler.constructor.name === 'AsyncFunction';
}

// What only runtimes up to nodejs22.x have.
function addOldWays(context, finish, getWaits, setWaits) {
  Object.defineProperty(context, 'callbackWaitsForEmptyEventLoop', {
    get: getWaits,
    set: (value) => setWaits(Boolean(value)),
    enumerable: true,
    configurable: true,
  });
  context.done = (error, result) => finish(error, result);
  context.succeed = (result) => finish(null, result);
  context.fail = (error) => finish(error === undefined || error === null ? 'handled' : error);
}

function serialize(result, resolve, reject) {
  let text;
  try {
    text = JSON.stringify(result === undefined ? null : result);
  } catch (_error) {
    reject(new Error('Unable to stringify response body'));
    return;
  }
  resolve(text === undefined ? 'null' : text); // a function, say
}

function setTrace(trace) {
  if (trace) process.env._X_AMZN_TRACE_ID = trace;
  else delete process.env._X_AMZN_TRACE_ID;
}

function rejection(reason, promise) {
  const error = fault('UnhandledPromiseRejection', reason);
  error.reason = reason;
  error.promise = promise;
  return error;
}

// Tells what ends the process, and ends it. What fails between two invocations is for the log alone: nobody waits for it, and a
// word to the Runtime API would wait, with this process, for the next invocation.
async function end(title, error, status) {
  if (isEnding) return;
  isEnding = true;
  log.error(title, error);
  try {
    if (currentId !== undefined || !isLoaded) await api.reportLastError(currentId, forCaller(error));
    else await answering;
  } finally {
    process.exit(status);
  }
}

function never() {
  return new Promise(() => {});
}

main();
