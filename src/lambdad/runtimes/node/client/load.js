'use strict';
// From the name of a handler to the function: `dir/file.export.nested`.

const fs = require('fs');
const Module = require('module');
const path = require('path');
const { pathToFileURL } = require('url');
const { fault } = require('./errors');

const MAJOR = Number(process.versions.node.split('.')[0]);
const HAS_MODULES = MAJOR >= 14; // AWS's runtimes know ES modules from nodejs14.x on

const FOR_IMPORT = '/var/node_modules'; // leads to the runtime's modules

// For `require` they are on NODE_PATH, behind those of the layers.
const nodeModulePaths = Module._nodeModulePaths;
Module._nodeModulePaths = (from) => nodeModulePaths(from).filter((folder) => folder !== FOR_IMPORT);

async function loadHandler(root, name) {
  if (name.includes('..')) {
    const text = `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`;
    throw fault('MalformedHandlerName', text);
  }
  const base = path.basename(name);
  const folder = name.slice(0, name.length - base.length);
  const parts = /^([^.]*)\.(.+)$/.exec(base);
  if (!parts) throw fault('MalformedHandlerName', 'Bad handler');
  const module = await loadModule(root, folder, parts[1]);
  let handler = module;
  for (const part of parts[2].split('.')) handler = handler === undefined || handler === null ? undefined : handler[part];
  if (handler === undefined || handler === null) throw fault('HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw fault('HandlerNotFound', `${name} is not a function`);
  return handler;
}

async function loadModule(root, folder, name) {
  try {
    return await findModule(root, folder, name);
  } catch (error) {
    if (error instanceof SyntaxError) throw fault('UserCodeSyntaxError', error);
    if (error && error.code === 'MODULE_NOT_FOUND') throw fault('ImportModuleError', error); // an `import` that fails has another code
    throw error;
  }
}

async function findModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  if (isFile(file)) return require(file);
  if (isFile(`${file}.js`)) return HAS_MODULES && isModule(`${file}.js`) ? importFile(`${file}.js`) : require(`${file}.js`);
  if (HAS_MODULES && isFile(`${file}.mjs`)) return importFile(`${file}.mjs`);
  if (isFile(`${file}.cjs`)) return require(`${file}.cjs`);
  if (fs.existsSync(file)) return require(file); // a folder with an index.js, or with a package.json that names another
  return require(require.resolve(folder === '' ? name : path.join(folder, name), { paths: [root, path.dirname(file)] }));
}

function importFile(file) {
  return require('./load_module.js')(pathToFileURL(file).href); // a file of its own, since old versions do not know its syntax
}

function isFile(file) {
  try {
    return fs.statSync(file).isFile();
  } catch (_error) {
    return false;
  }
}

// What the nearest package.json says.
function isModule(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const description = path.join(folder, 'package.json');
    if (isFile(description)) {
      try {
        return JSON.parse(fs.readFileSync(description, 'utf8')).type === 'module';
      } catch (_error) {
        return false; // Node.js says itself what is wrong with it, where it needs it
      }
    }
    if (folder === path.dirname(folder) || path.basename(folder) === 'node_modules') return false;
  }
}

module.exports = { loadHandler };
