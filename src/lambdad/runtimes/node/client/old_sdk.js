'use strict';
// Version 2 of AWS's SDK does not know AWS_ENDPOINT_URL; the clients that it makes are given it here, be it the runtime's own or
// one that the function's package brings along.

const Module = require('module');
const path = require('path');

const SERVICE = path.join(path.sep, 'aws-sdk', 'lib', 'service.js'); // loaded before any client, by whichever way

// Makes a version 2 that is loaded later read AWS_ENDPOINT_URL_<SERVICE> and AWS_ENDPOINT_URL.
function teachEndpointVariables() {
  const load = Module._extensions['.js'];
  Module._extensions['.js'] = function loadFile(module, file, ...more) {
    load.call(this, module, file, ...more);
    if (file.endsWith(SERVICE)) teach(module);
  };
}

function teach(module) {
  const Service = module.exports;
  if (typeof Service !== 'function' || typeof Service.prototype.initialize !== 'function') return; // another aws-sdk
  const initialize = Service.prototype.initialize;
  Service.prototype.initialize = function withEndpointVariables(options) {
    return initialize.call(this, withEndpoint(this, options, module.require('./core').config));
  };
}

function withEndpoint(service, options, config) {
  const own = config[service.serviceIdentifier];
  if ((options && options.endpoint) || (own && own.endpoint) || config.endpoint) return options;
  const endpoint = endpointUrl(service.api && service.api.serviceId);
  if (!endpoint) return options;
  // A bucket's name before an address is none, so it goes into the path unless the function says otherwise.
  const addressing = service.serviceIdentifier === 's3' ? { s3ForcePathStyle: true } : {};
  return Object.assign(addressing, own, options, { endpoint });
}

function endpointUrl(serviceId) {
  const variable = `AWS_ENDPOINT_URL_${String(serviceId).toUpperCase().replace(/[ -]/g, '_')}`;
  return process.env[variable] || process.env.AWS_ENDPOINT_URL;
}

module.exports = { teachEndpointVariables };
