using System.Collections.Generic;
using Amazon.Lambda.Core;

namespace Lambdad.Runtime
{
    /// <summary>Who invoked, by what Amazon Cognito says. Without it the members are null, as on AWS.</summary>
    internal sealed class CallerIdentity : ICognitoIdentity
    {
        public CallerIdentity(Dictionary<string, object> told)
        {
            IdentityId = JsonReader.Text(told, "cognitoIdentityId");
            IdentityPoolId = JsonReader.Text(told, "cognitoIdentityPoolId");
        }

        public string IdentityId { get; }

        public string IdentityPoolId { get; }
    }

    /// <summary>What the invoker's client says of itself; it may be anything.</summary>
    internal sealed class CallerContext : IClientContext
    {
        public CallerContext(Dictionary<string, object> told)
        {
            Environment = Texts(told, "env");
            Custom = Texts(told, "custom");
            Dictionary<string, object> client = JsonReader.Member(told, "client");
            Client = client == null ? null : new CallerApplication(client);
        }

        public IDictionary<string, string> Environment { get; }

        public IClientApplication Client { get; }

        public IDictionary<string, string> Custom { get; }

        private static Dictionary<string, string> Texts(Dictionary<string, object> told, string name)
        {
            Dictionary<string, object> member = JsonReader.Member(told, name);
            if (member == null)
            {
                return null;
            }
            Dictionary<string, string> texts = new Dictionary<string, string>();
            foreach (string key in member.Keys)
            {
                texts[key] = JsonReader.Text(member, key);
            }
            return texts;
        }
    }

    internal sealed class CallerApplication : IClientApplication
    {
        private readonly Dictionary<string, object> told;

        public CallerApplication(Dictionary<string, object> told) => this.told = told;

        public string AppPackageName => JsonReader.Text(told, "app_package_name");

        public string AppTitle => JsonReader.Text(told, "app_title");

        public string AppVersionCode => JsonReader.Text(told, "app_version_code");

        public string AppVersionName => JsonReader.Text(told, "app_version_name");

        public string InstallationId => JsonReader.Text(told, "installation_id");
    }
}
