// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime;

/** What a handler is told of its invocation, its function and its execution environment. */
public interface Context {
    String getAwsRequestId();

    String getLogGroupName();

    String getLogStreamName();

    String getFunctionName();

    String getFunctionVersion();

    String getInvokedFunctionArn();

    /** Null without one. */
    CognitoIdentity getIdentity();

    /** Null without one. */
    ClientContext getClientContext();

    int getRemainingTimeInMillis();

    int getMemoryLimitInMB();

    LambdaLogger getLogger();

    /** Null without one. A default, so that older implementations in functions' own tests still load. */
    default String getTenantId() {
        return null;
    }

    /** Null without one. */
    default String getXrayTraceId() {
        return null;
    }
}
