using System;
using System.Collections.Generic;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Threading;
using System.Web;

namespace Veetro
{
    /// <summary>What arrived, in memory, as JSON lines written at the moment of arrival.</summary>
    public static class Store
    {
        static readonly List<string> lines = new List<string>();
        static int lastId = 1000000;

        public static int NextId()
        {
            return Interlocked.Increment(ref lastId);
        }

        public static void Add(SyncRecord record, string session)
        {
            string line = "{\"session\":" + Json.Write(session) + ",\"record\":" + Json.Write(record) + "}";
            lock (lines)
                lines.Add(line);
        }

        public static string Tell()
        {
            lock (lines)
                return lines.Count == 0 ? "" : string.Join("\n", lines) + "\n";
        }

        public static void Clear()
        {
            lock (lines)
                lines.Clear();
        }
    }

    /// <summary>ASCII only, every UTF-16 unit outside printable ASCII escaped, so that nothing on the way can alter it.</summary>
    public static class Json
    {
        public static string Write(object value)
        {
            if (value == null)
                return "null";
            if (value is string)
                return Quote((string)value);
            if (value is bool)
                return (bool)value ? "true" : "false";
            if (value is int)
                return ((int)value).ToString(CultureInfo.InvariantCulture);
            if (value is DateTime)
                return Write((DateTime)value);
            if (value is Enum)
                return Quote(value.ToString());
            var fields = new List<string>();
            foreach (FieldInfo field in value.GetType().GetFields())
                fields.Add(Quote(field.Name) + ":" + Write(field.GetValue(value)));
            return "{" + string.Join(",", fields) + "}";
        }

        /// <summary>Ticks of 100 ns since year 1: of UTC where the kind says Utc or Local, of the text's own time otherwise.</summary>
        static string Write(DateTime moment)
        {
            DateTime told = moment.Kind == DateTimeKind.Unspecified ? moment : moment.ToUniversalTime();
            return "{\"ticks\":" + told.Ticks + ",\"kind\":\"" + moment.Kind + "\"}";
        }

        static string Quote(string text)
        {
            var quoted = new StringBuilder("\"");
            foreach (char unit in text)
            {
                if (unit < ' ' || unit > '~' || unit == '"' || unit == '\\')
                    quoted.Append("\\u").Append(((int)unit).ToString("x4"));
                else
                    quoted.Append(unit);
            }
            return quoted.Append('"').ToString();
        }
    }

    /// <summary>GET tells every call that reached the method, one JSON object a line; DELETE forgets them.</summary>
    public class Received : IHttpHandler
    {
        public bool IsReusable
        {
            get { return true; }
        }

        public void ProcessRequest(HttpContext context)
        {
            if (context.Request.HttpMethod == "DELETE")
                Store.Clear();
            context.Response.ContentType = "application/x-ndjson";
            context.Response.Write(Store.Tell());
        }
    }
}
