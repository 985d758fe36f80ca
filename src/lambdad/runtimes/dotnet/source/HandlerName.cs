using System;
using System.Reflection;

namespace Lambdad.Runtime
{
    /// <summary>A handler string, "Assembly::Namespace.Type::Method" or with a whole signature at its end.</summary>
    internal sealed class HandlerName
    {
        private const string Form = "The valid format is 'ASSEMBLY::TYPE::METHOD'.";

        private HandlerName(AssemblyName assembly, string type, string method)
        {
            Assembly = assembly;
            Type = type;
            Method = method;
        }

        public AssemblyName Assembly { get; }

        public string Type { get; }

        /// <summary>Its name, or what a MethodInfo says of itself: "System.String Handle(Int32)".</summary>
        public string Method { get; }

        /// <summary>A Fault where it is of another form.</summary>
        public static HandlerName Of(string handler)
        {
            if (handler.Length == 0)
            {
                throw new Fault("Empty lambda function handler. " + Form);
            }
            string[] parts = handler.Split(new[] { "::" }, 3, StringSplitOptions.None);
            if (parts.Length != 3)
            {
                throw new Fault("Invalid lambda function handler: '" + handler + "'. " + Form);
            }
            string[] names = { "assembly", "type", "method" };
            for (int i = 0; i < 3; i++)
            {
                parts[i] = parts[i].Trim();
                if (parts[i].Length == 0)
                {
                    throw new Fault("Invalid lambda function handler: '" + handler + "', the " + names[i] + " is missing. " + Form);
                }
            }
            return new HandlerName(new AssemblyName(parts[0]), parts[1], parts[2]);
        }
    }
}
