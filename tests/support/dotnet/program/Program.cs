using System;
using System.Net.Http;
using System.Text;

/// <summary>A function that is a program and speaks to the Runtime API itself.</summary>
public static class Program
{
    public static void Main(string[] arguments)
    {
        string root = "http://" + Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/";
        HttpClient client = new HttpClient();
        while (true)
        {
            HttpResponseMessage next = client.GetAsync(root + "next").GetAwaiter().GetResult();
            string id = string.Join("", next.Headers.GetValues("Lambda-Runtime-Aws-Request-Id"));
            string input = next.Content.ReadAsStringAsync().GetAwaiter().GetResult();
            string answer = "{\"arguments\":" + arguments.Length + ",\"runtime\":\""
                + Environment.GetEnvironmentVariable("LAMBDA_RUNTIME_NAME") + "\",\"input\":" + input + "}";
            client.PostAsync(root + id + "/response", new StringContent(answer, Encoding.UTF8)).GetAwaiter().GetResult();
        }
    }
}
