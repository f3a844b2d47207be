-- Where the log stands: '<epoch> <offset> <arrived>'.

local stands = epoch .. ' ' .. whole(offset) .. ' ' .. whole(arrived)

-- The node that asks had events of another epoch, so others may have them too: they are to look.
if renewed and known_epoch ~= '' then
  tell(stands)
end
return stands
