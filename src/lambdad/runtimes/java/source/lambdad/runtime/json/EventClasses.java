package lambdad.runtime.json;

import java.lang.reflect.Constructor;
import java.lang.reflect.Modifier;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * The classes of AWS's events that functions bring along (aws-lambda-java-events), which are not written after the letters of
 * the events themselves: "Records" is `getRecords`, "detail-type" is `getDetailType`, "eventSourceARN" `getEventSourceArn`.
 *
 * <p>So their names are compared without case and hyphens, their dates are seconds, and those without a plain constructor are
 * made from nothing and filled field by field.
 */
final class EventClasses {
    private static final String[] PACKAGES = {
        "com.amazonaws.services.lambda.runtime.events.",
        "com.amazonaws.services.s3.event.",
        "com.amazonaws.services.dynamodbv2.model.",
    };

    private EventClasses() {}

    static boolean contains(Class<?> type) {
        for (String name : PACKAGES) {
            if (type.getName().startsWith(name)) {
                return true;
            }
        }
        return false;
    }

    /** The constructor with the fewest parameters; null if there is none. */
    static Constructor<?> constructor(Class<?> type) {
        if (Modifier.isAbstract(type.getModifiers())) {
            return null;
        }
        Constructor<?> least = null;
        for (Constructor<?> one : type.getDeclaredConstructors()) {
            if (!one.isSynthetic() && (least == null || one.getParameterTypes().length < least.getParameterTypes().length)) {
                least = one;
            }
        }
        if (least != null) {
            least.setAccessible(true);
        }
        return least;
    }

    static Map<String, Bean.Property> byLooseName(Map<String, Bean.Property> properties) {
        Map<String, Bean.Property> loosely = new HashMap<>();
        for (Bean.Property property : properties.values()) {
            Bean.Property other = loosely.get(loose(property.name));
            if (other == null || property.isWritable() && !other.isWritable()) {
                loosely.put(loose(property.name), property);
            }
        }
        return loosely;
    }

    static Bean.Property find(Map<String, Bean.Property> loosely, String name) {
        String loose = loose(name);
        Bean.Property found = loosely.get(loose);
        return found == null && loose.startsWith("is") ? loosely.get(loose.substring(2)) : found;
    }

    private static String loose(String name) {
        return name.toLowerCase(Locale.ROOT).replace("-", "");
    }
}
