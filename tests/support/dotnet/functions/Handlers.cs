using System;
using System.Collections.Generic;
using System.IO;
using System.Text;
using System.Threading.Tasks;
using Amazon.Lambda.Core;
using Example.Json;

namespace Example
{
    public sealed class Order
    {
        public string Name { get; set; }

        public int Count { get; set; }

        public Order Inner { get; set; }
    }

    public struct Price
    {
        public double Amount { get; set; }
    }

    /// <summary>Of no attribute of the assembly's: each method names its serializer, or needs none.</summary>
    public class Shapes
    {
        private int calls;

        [LambdaSerializer(typeof(JsonSerializer))]
        public Order Object(Order order, ILambdaContext context)
        {
            order.Count++;
            order.Name += " of " + context.FunctionName;
            return order;
        }

        [LambdaSerializer(typeof(JsonSerializer))]
        public Price Values(int amount) => new Price { Amount = amount / 2.0 };

        [LambdaSerializer(typeof(JsonSerializer))]
        public async Task<int> Async(Order order)
        {
            await Task.Delay(1);
            return order.Count + ++calls;
        }

        [LambdaSerializer(typeof(JsonSerializer))]
        public async Task AsyncNothing(Order order) => await Task.Delay(1);

        [LambdaSerializer(typeof(JsonSerializer))]
        public void Nothing(Order order) => calls++;

        public void Neither() => calls++;

        [LambdaSerializer(typeof(JsonSerializer))]
        public string ContextAlone(ILambdaContext context) => context.AwsRequestId;

        public static Stream Static(Stream input)
        {
            MemoryStream output = new MemoryStream();
            input.CopyTo(output);
            output.Position = 0;
            return output;
        }

        public async Task<Stream> AsyncStream(Stream input, ILambdaContext context)
        {
            string text = await new StreamReader(input).ReadToEndAsync();
            return new MemoryStream(Encoding.UTF8.GetBytes(text.ToUpperInvariant()));
        }

        public Stream NoStream(Stream input) => null;

        [LambdaSerializer(typeof(JsonSerializer))]
        private string Hidden(string input) => "hidden " + input;

        [LambdaSerializer(typeof(JsonSerializer))]
        public string Twice(string text) => "text " + text;

        [LambdaSerializer(typeof(JsonSerializer))]
        public string Twice(int number) => "number " + number;
    }

    public abstract class Base<T>
    {
        protected abstract T Answer(T input);

        [LambdaSerializer(typeof(JsonSerializer))]
        public T Handle(T input, ILambdaContext context) => Answer(input);
    }

    public sealed class Derived : Base<List<object>>
    {
        protected override List<object> Answer(List<object> input)
        {
            input.Reverse();
            return input;
        }
    }

    public struct ValueHandler
    {
        [LambdaSerializer(typeof(JsonSerializer))]
        public string Handle(string input) => "by a struct: " + input;
    }
}
