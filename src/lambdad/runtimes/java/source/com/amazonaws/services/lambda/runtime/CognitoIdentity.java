// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime;

/** The Amazon Cognito identity of the invoker. */
public interface CognitoIdentity {
    String getIdentityId();

    String getIdentityPoolId();
}
