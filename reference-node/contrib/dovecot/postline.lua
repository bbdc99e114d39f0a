-- Tells the Postline node beside this Dovecot what happens to mails in mailboxes: delivered, put there, read, expunged.
-- For the plugin push_notification_lua; the configuration is in postline-2.3.conf and postline-2.4.conf.
--
-- Each report is an annotation of the mailbox that the node takes at its dict socket. Dovecot waits for the answer, so
-- there is one report for many events of a transaction, a bound on how many there are, and the node answers before it
-- looks at what it was told. A node that is down costs a failed connect; mail is delivered all the same.

local KEY = "/private/vendor/postline/event"
local LINES = 64        -- events of one report: the node takes no more
local REPORTS = 16      -- reports of one transaction; what is beyond is not reported
local MESSAGE_ID = 250  -- bytes of a Message-ID that the node takes

function dovecot_lua_notify_begin_txn(user)
  return { user = user, boxes = {}, events = 0 }
end

local function add(ctx, event, line)
  if ctx.events >= LINES * REPORTS then return end
  ctx.events = ctx.events + 1
  local lines = ctx.boxes[event.mailbox]
  if lines == nil then
    lines = {}
    ctx.boxes[event.mailbox] = lines
  end
  lines[#lines + 1] = line
end

-- "what uidvalidity uid", whole numbers whatever the Lua.
local function place(what, event)
  return string.format("%s %.0f %.0f", what, event.uid_validity, event.uid)
end

local function arrived(ctx, event, what)
  local id = event.message_id
  if id == nil then return end
  id = string.match(id, "<([%w%p]+)>") or string.match(id, "^%s*([%w%p]+)%s*$")
  if id == nil or #id > MESSAGE_ID then return end
  add(ctx, event, place(what, event) .. " " .. id)
end

function dovecot_lua_notify_event_message_new(ctx, event)
  arrived(ctx, event, "new")
end

function dovecot_lua_notify_event_message_append(ctx, event)
  arrived(ctx, event, "copy")
end

function dovecot_lua_notify_event_flags_set(ctx, event)
  for _, flag in ipairs(event.flags or {}) do
    if flag == "\\Seen" then add(ctx, event, place("read", event)) end
  end
end

function dovecot_lua_notify_event_message_expunge(ctx, event)
  add(ctx, event, place("gone", event))
end

local function report(user, name, lines)
  local mailbox = user:mailbox(name)
  -- Dovecot 2.3 dies where an annotation of a closed mailbox is set.
  mailbox:open()
  for first = 1, #lines, LINES do
    local last = math.min(first + LINES - 1, #lines)
    local told, why = pcall(function()
      mailbox:metadata_set(KEY, "1\n" .. table.concat(lines, "\n", first, last) .. "\n")
    end)
    if not told then
      dovecot.i_warning("postline: not reported: " .. tostring(why))
      break
    end
  end
  mailbox:free()
end

function dovecot_lua_notify_end_txn(ctx, success)
  if not success then return end
  for name, lines in pairs(ctx.boxes) do
    local done, why = pcall(report, ctx.user, name, lines)
    if not done then dovecot.i_warning("postline: not reported: " .. tostring(why)) end
  end
end
