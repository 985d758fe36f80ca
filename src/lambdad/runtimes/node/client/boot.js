'use strict';
// A runtime that is started before its function is known: it makes itself ready, and waits here for the function's variables.

const fs = require('fs');
const Module = require('module');

const PLACES = '_LAMBDAD_BOOT'; // "1022 1023": where the variables come from, and where to say that it is ready
const MOST_BYTES = 128 * 1024; // of a record
const HAS_MODULES = Number(process.versions.node.split('.')[0]) >= 14;

// What functions load most; it is part of Node.js itself.
const USUAL = ['http', 'https', 'url', 'stream', 'zlib', 'crypto', 'util', 'os', 'querystring', 'string_decoder', 'async_hooks'];

async function whenFunctionIsKnown() {
  const places = process.env[PLACES];
  if (places === undefined) return;
  delete process.env[PLACES];
  for (const name of USUAL) require(name);
  if (HAS_MODULES) {
    await require('./load_module')('data:text/javascript,'); // what loads modules of that kind is itself loaded by the first
    delete require.cache[require.resolve('./load_module')];
    module.children.pop(); // as if it had not been loaded
  }
  const [start, ready] = places.split(' ').map(Number);
  fs.writeSync(ready, '.');
  fs.closeSync(ready);
  const record = Buffer.alloc(MOST_BYTES);
  const length = fs.readSync(start, record, 0, MOST_BYTES, null);
  fs.closeSync(start);
  if (length === 0) process.exit(0); // there will be no function
  become(JSON.parse(record.toString('utf8', 0, length)));
}

function become(variables) {
  for (const name of Object.keys(process.env)) {
    if (!Object.prototype.hasOwnProperty.call(variables, name)) delete process.env[name];
  }
  // What is as it should be is left alone: it keeps its place, and Node.js need not read it again.
  for (const [name, value] of Object.entries(variables)) if (process.env[name] !== value) process.env[name] = value;
  if (process.env.HOME !== undefined) Module._initPaths(); // `require` looks into two folders of it
  process.chdir(process.cwd()); // to what is there now
}

module.exports = { whenFunctionIsKnown };
