package example;

/** Ends the process while it is loaded. */
public class ExitsAtInit {
    static {
        System.exit(3);
    }

    public String handle(String input) {
        return input;
    }
}
