<%@ WebService Class="Veetro.OutlookSync" %>
