package rehearsed;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What functions commonly use of the client. `Rehearsal` has it loaded from a folder, as a function's classes are. */
public class Function implements RequestHandler<Function.Order, Map<String, Object>> {
    @Override
    public Map<String, Object> handleRequest(Order order, Context context) {
        context.getLogger().log(order.getName());
        System.out.println(context.getRemainingTimeInMillis());
        if (order.getName().equals("fails")) {
            throw new IllegalStateException("rehearsed");
        }
        Map<String, Object> result = new LinkedHashMap<>();
        result.put("order", order);
        result.put("id", context.getAwsRequestId());
        return result;
    }

    public static final class Order {
        private String name;
        private List<Double> sizes;

        public String getName() {
            return name;
        }

        public void setName(String name) {
            this.name = name;
        }

        public List<Double> getSizes() {
            return sizes;
        }

        public void setSizes(List<Double> sizes) {
            this.sizes = sizes;
        }
    }
}
