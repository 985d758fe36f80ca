using System;

namespace Lambdad.Runtime
{
    /// <summary>The identifier of AWS that the function asked for; what runs it may be another version.</summary>
    internal static class RuntimeName
    {
        /// <summary>Up to .NET Core 3.1, whose runtimes on AWS had another client than the later ones.</summary>
        public static bool IsOld { get; private set; }

        public static void Set(string identifier) => IsOld = identifier.StartsWith("dotnetcore", StringComparison.Ordinal);
    }
}
