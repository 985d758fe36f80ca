// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime;

import java.nio.charset.StandardCharsets;

/** Where code without a context finds the logger. */
public final class LambdaRuntime {
    private static volatile LambdaLogger logger = new StandardOutput();

    private LambdaRuntime() {}

    public static LambdaLogger getLogger() {
        return logger;
    }

    /** Until the runtime client has put its own there, by reflection. */
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
