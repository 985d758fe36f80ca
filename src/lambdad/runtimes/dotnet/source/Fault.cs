using System;

namespace Lambdad.Runtime
{
    /// <summary>The function cannot be run as it is; the message is AWS's.</summary>
    internal sealed class Fault : Exception
    {
        public Fault(string message)
            : base(message)
        {
        }

        /// <summary>By which AWS's runtimes call it.</summary>
        public string TypeName => RuntimeName.IsOld ? "LambdaException" : "LambdaValidationException";
    }
}
