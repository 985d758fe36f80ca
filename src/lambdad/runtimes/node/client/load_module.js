'use strict';

module.exports = (address) => import(address);
