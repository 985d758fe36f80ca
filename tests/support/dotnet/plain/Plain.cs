using System.IO;

/// <summary>A function that brings no Amazon.Lambda.Core along.</summary>
public class Plain
{
    public Stream Handle(Stream input) => input;
}
