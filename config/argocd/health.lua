-- How Argo CD tells that a PatchSet, a ConstraintOverride or a PatchRepository is healthy: by the
-- same conditions as kstatus.
local health = { status = "Progressing", message = "waits for the controller" }
local status = obj.status
if status == nil or status.conditions == nil then
  return health
end
if status.observedGeneration ~= nil and status.observedGeneration ~= obj.metadata.generation then
  health.message = "the controller has not looked at this generation yet"
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
if obj.spec ~= nil and obj.spec.suspend == true then
  return { status = "Suspended", message = "spec.suspend is set" }
end
local stalled, ready, reconciling = conditions.Stalled, conditions.Ready, conditions.Reconciling
if stalled ~= nil and stalled.status == "True" then
  return { status = "Degraded", message = stalled.message }
end
if ready == nil then
  return health
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
if ready.status == "False" and (reconciling == nil or reconciling.status ~= "True" or reconciling.reason == "ProgressingWithRetry") then
  return { status = "Degraded", message = ready.message }
end
return { status = "Progressing", message = ready.message }
