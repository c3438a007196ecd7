-- wrk: one POST with a constant body. The body's file and the action come after "--" on wrk's command line.
function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = "text/xml; charset=utf-8"
  wrk.headers["SOAPAction"] = args[2]
  file:close()
end
