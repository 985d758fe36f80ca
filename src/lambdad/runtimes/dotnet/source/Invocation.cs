using System.Collections.Generic;

namespace Lambdad.Runtime
{
    /// <summary>What the Runtime API said of an invocation.</summary>
    internal sealed class Invocation
    {
        private readonly Dictionary<string, string> headers;

        public Invocation(Dictionary<string, string> headers, byte[] body)
        {
            this.headers = headers;
            Event = body;
        }

        public byte[] Event { get; }

        public string RequestId => Header("lambda-runtime-aws-request-id");

        /// <summary>Null outside functions with tenants.</summary>
        public string TenantId => Header("lambda-runtime-aws-tenant-id");

        /// <summary>By lower-case name; null if it was not sent.</summary>
        public string Header(string name) => headers.TryGetValue(name, out string value) ? value : null;
    }
}
