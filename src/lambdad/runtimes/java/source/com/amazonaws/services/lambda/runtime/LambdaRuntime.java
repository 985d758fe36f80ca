// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime;

import lambdad.runtime.FunctionLogger;

import java.nio.charset.StandardCharsets;

/** Where code without a context finds the logger. */
public final class LambdaRuntime {
    private LambdaRuntime() {}

    public static LambdaLogger getLogger() {
        LambdaLogger logger = FunctionLogger.current();
        return logger == null ? new StandardOutput() : logger;
    }

    private static final class StandardOutput implements LambdaLogger {
        @Override
        public void log(String message) {
            System.out.print(message);
        }

        @Override
        public void log(byte[] message) {
            System.out.print(new String(message, StandardCharsets.UTF_8));
        }
    }
}
