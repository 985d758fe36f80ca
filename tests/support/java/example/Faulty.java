package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

/** Classes that cannot be handlers, each for its own reason. */
public class Faulty {
    public static class NoInterface {}

    public static class NeedsMore implements RequestHandler<String, String> {
        public NeedsMore(int more) {}

        @Override
        public String handleRequest(String input, Context context) {
            return input;
        }
    }

    public class Inner implements RequestHandler<String, String> {
        @Override
        public String handleRequest(String input, Context context) {
            return input;
        }
    }

    public abstract static class Abstract implements RequestHandler<String, String> {}

    public static class StaticThrows implements RequestHandler<String, String> {
        static final int NUMBER = Integer.parseInt("x");

        @Override
        public String handleRequest(String input, Context context) {
            return input;
        }
    }

    public static class ConstructorThrows implements RequestHandler<String, String> {
        public ConstructorThrows() {
            throw new IllegalStateException("not today");
        }

        @Override
        public String handleRequest(String input, Context context) {
            return input;
        }
    }
}
