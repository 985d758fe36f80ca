// Written anew for lambdad (Apache-2.0): the names by which functions know AWS Lambda, so that they link against them.
package com.amazonaws.services.lambda.runtime.logging;

import java.util.Locale;

/** How a function's log is written. */
public enum LogFormat {
    JSON,
    TEXT;

    public static LogFormat fromString(String name) {
        if (name != null) {
            for (LogFormat format : values()) {
                if (format.name().equals(name.toUpperCase(Locale.ROOT))) {
                    return format;
                }
            }
        }
        throw new IllegalArgumentException("Invalid log format: '" + name + "' expected one of [JSON, TEXT]");
    }
}
