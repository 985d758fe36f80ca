// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime;

/** The mobile application that invoked the function. */
public interface Client {
    String getInstallationId();

    String getAppTitle();

    String getAppVersionName();

    String getAppVersionCode();

    String getAppPackageName();
}
