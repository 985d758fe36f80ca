using System.IO;
using System.Text;
using Microsoft.AspNetCore.Http;

/// <summary>Uses a type of ASP.NET Core, which the package does not bring along.</summary>
public class Web
{
    public Stream Handle(Stream input) =>
        new MemoryStream(Encoding.UTF8.GetBytes("\"" + QueryString.Create("a", "1 2") + "\""));
}
