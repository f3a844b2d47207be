-- Where the log stands: '<epoch> <offset> <arrived>'.

return epoch and stands() or UNBORN .. ' ' .. whole(now - 1) .. ' ' .. whole(now - 1)
