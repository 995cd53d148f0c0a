--[[ Writes nothing. Without a flag Redis refuses it as it refuses a post: full, read-only, loading, too few replicas,
  an AOF that cannot be written, a slot that is on its way.
  KEYS[1] tag   ARGV[1] none
  Returns 1. ]]
return 1
