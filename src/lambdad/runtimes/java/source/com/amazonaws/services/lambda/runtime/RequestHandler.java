// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime;

/** A handler of events that are read from JSON to `I`, and whose result `O` is written as JSON. */
public interface RequestHandler<I, O> {
    O handleRequest(I input, Context context);
}
