// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime;

import java.util.Map;

/** What the invoker said of itself. */
public interface ClientContext {
    Client getClient();

    Map<String, String> getCustom();

    Map<String, String> getEnvironment();
}
