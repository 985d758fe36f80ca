using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace Lambdad.Runtime
{
    /// <summary>What the invoker of a failed invocation gets.</summary>
    internal static class ErrorPayload
    {
        public const int MaxCauses = 32;
        private const int MaxBytes = 256 * 1024;
        private const string TooLong = "{\"errorMessage\":\"Exception exceeded maximum payload size of 256KB.\"}";

        public static MemoryStream Of(Exception thrown)
        {
            string json;
            try
            {
                json = Describe(thrown, 0);
            }
            catch (Exception worse) when (!(worse is OutOfMemoryException)) // an exception whose own members throw
            {
                json = new JsonText().Begin().Add("errorType", TypeOf(thrown)).Add("errorMessage", TypeOf(thrown)).End().ToString();
            }
            byte[] bytes = Encoding.UTF8.GetBytes(json);
            bytes = bytes.Length > MaxBytes ? Encoding.UTF8.GetBytes(TooLong) : bytes;
            return new MemoryStream(bytes, 0, bytes.Length, false, true);
        }

        public static string TypeOf(Exception thrown) => thrown is Fault fault ? fault.TypeName : thrown.GetType().Name;

        private static string Describe(Exception thrown, int depth)
        {
            JsonText json = new JsonText().Begin().Add("errorType", TypeOf(thrown)).Add("errorMessage", thrown.Message);
            List<string> trace = StackTraces.Of(thrown);
            if (trace.Count > 0)
            {
                json.AddList("stackTrace", trace);
            }
            if (thrown.InnerException != null && depth < MaxCauses)
            {
                json.AddJson("cause", Describe(thrown.InnerException, depth + 1));
            }
            if (thrown is AggregateException aggregate && depth < MaxCauses)
            {
                List<string> causes = new List<string>();
                foreach (Exception cause in aggregate.InnerExceptions)
                {
                    causes.Add(Describe(cause, depth + 1));
                }
                json.AddJson("causes", "[" + string.Join(",", causes) + "]");
            }
            return json.End().ToString();
        }
    }
}
