using System;
using System.IO;
using System.Reflection;

namespace Lambdad.Runtime
{
    /// <summary>How values of one type come from bytes, or become bytes.</summary>
    internal interface ISerialization
    {
        object Read(Stream stream);

        void Write(object value, Stream stream);
    }

    /// <summary>Of streams, which are handed on as they are.</summary>
    internal sealed class StreamSerialization : ISerialization
    {
        public object Read(Stream stream) => stream;

        public void Write(object value, Stream stream)
        {
            if (value is Stream content)
            {
                using (content)
                {
                    content.CopyTo(stream);
                }
            }
        }
    }

    /// <summary>By the function's serializer, an ILambdaSerializer of whatever version of Amazon.Lambda.Core.</summary>
    internal sealed class CustomSerialization : ISerialization
    {
        private readonly object serializer;
        private readonly MethodInfo read;
        private readonly MethodInfo write;

        /// <summary>`contract` is the ILambdaSerializer that the serializer implements.</summary>
        public CustomSerialization(object serializer, Type contract, Type type)
        {
            this.serializer = serializer;
            read = contract.GetMethod("Deserialize").MakeGenericMethod(type);
            write = contract.GetMethod("Serialize").MakeGenericMethod(type);
        }

        public object Read(Stream stream) =>
            read.Invoke(serializer, BindingFlags.DoNotWrapExceptions, null, new object[] { stream }, null);

        public void Write(object value, Stream stream) =>
            write.Invoke(serializer, BindingFlags.DoNotWrapExceptions, null, new[] { value, stream }, null);
    }
}
