'use strict';
const { pathToFileURL } = require('url');

module.exports = (file) => import(pathToFileURL(file).href);
