-- Requests for wrk, one after the other, from a file that benches/http/main.rs has written: a line each, a path or a document.
local requests = {}
for line in io.lines(os.getenv("HASHWARD_REQUESTS")) do
   if line:sub(1, 1) == "/" then
      requests[#requests + 1] = wrk.format("GET", line)
   else
      requests[#requests + 1] = wrk.format("POST", "/v1/lookup", { ["content-type"] = "application/json" }, line)
   end
end

local at = 0
request = function()
   at = at % #requests + 1
   return requests[at]
end
