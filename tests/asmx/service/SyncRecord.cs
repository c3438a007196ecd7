using System;

namespace Veetro
{
    public enum SyncStatus { NA, InProgress, Completed }

    /// <summary>The record, its fields in the order of the vendor's help page.</summary>
    public class SyncRecord
    {
        public int ImportSyncRecordID;
        public int VeetroID;
        public int EntityID_Owner;
        public string VeetroType;
        public string VeetroIDStr;
        public string Source;
        public string SourceID;
        public string SyncIdentifier;
        public string SourceType;
        public string SourceName;
        public int ApplyAction;
        public string ApplyValues;
        public DateTime RemoteTimeStamp;
        public bool Delete;
        public int CurrentStatusId;
        public int Retried;
        public DateTime LocalTimeStamp;
        public string ErrorMsg;
        public DateTime DateLastModifiedRemoteUtc;
        public DateTime DateLastModifiedLocalUtc;
        public SyncStatus CurrentStatus;

        public SyncRecord Copy()
        {
            return (SyncRecord)MemberwiseClone();
        }
    }
}
