using System;
using System.Web.Services;
using System.Web.Services.Protocols;
using System.Xml;

namespace Veetro
{
    public class LoginUser
    {
        public int EntityID;
        public string Name;
        public string Email;
    }

    public class LoginResult
    {
        public string Code;
        public string SessionKey;
        public LoginUser User;
    }

    /// <summary>The two operations. A SourceID that begins with "!" asks for a special answer, see Save.</summary>
    [WebService(Namespace = "http://schema.veetro.com")]
    public class OutlookSync : WebService
    {
        public const string Password = "correct horse";

        [WebMethod]
        public SyncRecord SetOutlookSyncRecord(SyncRecord Record)
        {
            string wish = Record == null ? null : Record.SourceID;
            if (wish == "!throw")
                throw new InvalidOperationException(Record.ErrorMsg ?? "refused before saving");
            Store.Add(Record, Context.Request.Headers["VeetroSession"]);
            if (wish == "!save-then-throw")
                throw new InvalidOperationException(Record.ErrorMsg ?? "saved, then failed");
            if (wish == "!custom-fault")
                throw new SoapException("a custom fault", new XmlQualifiedName("Custom.Code", "urn:custom"));
            if (Record == null)
                return null;
            SyncRecord saved = Record.Copy();
            if (saved.ImportSyncRecordID == 0)
                saved.ImportSyncRecordID = Store.NextId();
            if (wish == "!control-character")
                saved.ErrorMsg = "before\u000Bafter\u0001";
            return saved;
        }

        [WebMethod]
        public LoginResult AuthenticateWebSafe(string email, string pass)
        {
            if (pass != Password)
                return new LoginResult { Code = "Not_Found" };
            return new LoginResult
            {
                Code = "Success",
                SessionKey = "session-of-" + email,
                User = new LoginUser { EntityID = 7, Name = "Ann Example", Email = email },
            };
        }
    }
}
