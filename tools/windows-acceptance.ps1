#Requires -RunAsAdministrator
#Requires -Version 5.1
<#
.SYNOPSIS
    Shows on a real Windows what docs/windows.md lists as unverified, and prints pass, fail or skip for each.
.DESCRIPTION
    For a machine that may be thrown away. It installs the services, kills and stops them, makes a local account and
    a folder below %ProgramData%, and takes all of that away again. It downloads nothing and needs no network.
    It refuses to run where whatchanged is installed or its data folder is there.
.PARAMETER Command
    How the program is called: it must stand where only administrators write.
.PARAMETER Checkout
    A checkout of the project. With it the suites of Windows run, too, by the Python of -Command, which needs pytest,
    pytest-timeout and hypothesis.
.PARAMETER Json
    One JSON array of objects {Check, Result, Detail} instead of lines.
.OUTPUTS
    Exit code 0: nothing failed; 1: something did; 2: it could not begin.
.EXAMPLE
    .\windows-acceptance.ps1 -Command 'C:\Program Files\whatchanged\python.exe', '-I', '-m', 'whatchanged'
#>
[CmdletBinding()]
param(
    [string[]] $Command = @("$env:ProgramFiles\whatchanged\python.exe", '-I', '-m', 'whatchanged'),
    [string] $Checkout = '',
    [switch] $Json
)

Set-StrictMode -Version 3.0
$ErrorActionPreference = 'Stop'

$Data = Join-Path $env:ProgramData 'whatchanged'
$Forwarder = 'whatchanged-forwarder'
$Tracker = 'whatchanged-tracker'
$Services = 'HKLM:\SYSTEM\CurrentControlSet\Services'
$Results = New-Object System.Collections.ArrayList
$Account = 'wc-' + [guid]::NewGuid().ToString('N').Substring(0, 12)
$Scratch = Join-Path $env:ProgramData "whatchanged-acceptance-$([guid]::NewGuid().ToString('N'))"

function Write-Result([string] $Check, [string] $Result, [string] $Detail) {
    [void] $Results.Add([pscustomobject]@{ Check = $Check; Result = $Result; Detail = $Detail })
    if (-not $Json) { Write-Output ('{0,-5} {1}{2}' -f $Result, $Check, $(if ($Detail) { ": $Detail" } else { '' })) }
}

# Runs one check. It passes if its block ends, fails if that throws, is skipped if that throws by Skip-Line.
function Test-Line([string] $Check, [scriptblock] $Body) {
    try { $null = & $Body; Write-Result $Check 'pass' '' }
    catch {
        $why = $_.Exception
        while ($why.InnerException -and $why -isnot [OperationCanceledException]) { $why = $why.InnerException }
        Write-Result $Check $(if ($why -is [OperationCanceledException]) { 'skip' } else { 'fail' }) $why.Message
    }
}

function Skip-Line([string] $Why) { throw [OperationCanceledException]::new($Why) }

function Assert-Equal($Expected, $Actual, [string] $What) {
    if ("$Expected" -ne "$Actual") { throw "$What is '$Actual', not '$Expected'" }
}

function Assert-True([bool] $Fact, [string] $Otherwise) { if (-not $Fact) { throw $Otherwise } }

function Wait-Until([scriptblock] $Fact, [int] $Seconds, [string] $What) {
    $end = (Get-Date).AddSeconds($Seconds)
    while (-not (& $Fact)) {
        if ((Get-Date) -gt $end) { throw "not within $Seconds s: $What" }
        Start-Sleep -Milliseconds 200
    }
}

# Runs the program; returns what it writes to standard output. Its standard error goes to a file.
function Invoke-Program([string[]] $Arguments, [int] $Code = 0) {
    $said = Join-Path $Scratch 'stderr.txt'
    $program, $first = $Command
    $all = @($first | Where-Object { $_ }) + $Arguments
    # Native programs that write to standard error would stop the script.
    $ErrorActionPreference = 'Continue'
    $out = & $program @all 2> $said
    $ErrorActionPreference = 'Stop'
    if ($LASTEXITCODE -ne $Code) {
        throw "$($Arguments -join ' ') ended with $LASTEXITCODE, not $($Code): $(Get-Content $said -Raw)"
    }
    return ($out -join "`n")
}

function Get-Rows([string[]] $Arguments) {
    # Assigned first: ConvertFrom-Json of PowerShell 5.1 hands an array over as one object.
    $rows = Invoke-Program ($Arguments + '--json') | ConvertFrom-Json
    return $rows
}

function Get-Value([string] $Key, [string] $Name) {
    $values = Get-ItemProperty -LiteralPath $Key
    if ($values.PSObject.Properties.Name -notcontains $Name) { return $null }
    return $values.$Name
}

function Get-ServiceSid([string] $Name) {
    return (New-Object Security.Principal.NTAccount('NT SERVICE', $Name)).Translate([Security.Principal.SecurityIdentifier]).Value
}

function Get-Identity([string] $Name) {
    return [int] (Get-CimInstance Win32_Service -Filter "Name='$Name'").ProcessId
}

function Get-Pipe {
    $found = @([IO.Directory]::GetFiles('\\.\pipe\') | Where-Object { $_ -like '*whatchanged_*default_fluent.socket' })
    Assert-Equal 1 $found.Count 'the number of pipes of ours'
    return [IO.Path]::GetFileName($found[0])
}

# Opens a pipe for reading and writing, and closes it. Throws what .NET throws.
function Open-Pipe([string] $Server, [string] $Name) {
    $client = New-Object IO.Pipes.NamedPipeClientStream($Server, $Name, [IO.Pipes.PipeDirection]::InOut)
    try { $client.Connect(3000) } finally { $client.Dispose() }
}

function Assert-Denied([scriptblock] $Body, [string] $What) {
    try { $null = & $Body }
    catch {
        $why = $_.Exception
        while ($why.InnerException) { $why = $why.InnerException }
        # E_ACCESSDENIED, or ERROR_ACCESS_DENIED as an HRESULT: both are this number.
        if ($why -is [UnauthorizedAccessException] -or $why.HResult -eq -2147024891) { return }
        throw "$What failed with '$($why.Message)', and not because access is denied"
    }
    throw "$What was possible"
}

# Runs a line of PowerShell as the account made for this; returns its exit code.
function Invoke-AsUser([string] $Line) {
    $encoded = [Convert]::ToBase64String([Text.Encoding]::Unicode.GetBytes($Line))
    $power = Join-Path $env:SystemRoot 'System32\WindowsPowerShell\v1.0\powershell.exe'
    try {
        $process = Start-Process $power -Credential $Credential -WorkingDirectory $env:SystemRoot -PassThru -WindowStyle Hidden `
            -ArgumentList '-NoProfile', '-NonInteractive', '-EncodedCommand', $encoded
    }
    catch { Skip-Line "cannot run anything as another account: $($_.Exception.Message)" }
    $null = $process.Handle  # else ExitCode stays empty
    if (-not $process.WaitForExit(60000)) { $process.Kill(); throw 'the other account did not come to an end' }
    return $process.ExitCode
}

function Get-Events([int] $Id, [datetime] $Since) {
    return @(Get-WinEvent -FilterHashtable @{ LogName = 'Application'; ProviderName = 'whatchanged'; Id = $Id; StartTime = $Since } -ErrorAction SilentlyContinue)
}

# --- Before anything is changed ---

if (Get-Service $Forwarder, $Tracker -ErrorAction SilentlyContinue) { Write-Error 'whatchanged is installed here' -ErrorAction Continue; exit 2 }
if (Test-Path -LiteralPath $Data) { Write-Error "$Data is there" -ErrorAction Continue; exit 2 }
if (-not (Get-Command $Command[0] -ErrorAction SilentlyContinue)) { Write-Error "there is no $($Command[0])" -ErrorAction Continue; exit 2 }

$null = New-Item -ItemType Directory $Scratch
$Begin = Get-Date
$Credential = $null

try {
    try {
        # Letters of each kind, whatever the policy for passwords asks for.
        $password = ConvertTo-SecureString ('aA1!' + [guid]::NewGuid().ToString()) -AsPlainText -Force
        $null = New-LocalUser -Name $Account -Password $password -Description 'whatchanged acceptance, may be deleted'
        $Credential = New-Object Management.Automation.PSCredential("$env:COMPUTERNAME\$Account", $password)
    }
    catch { Write-Verbose "no account: $($_.Exception.Message)" }

    # --- Installation ---

    Test-Line 'a data folder that a user made before is refused' {
        if (-not $Credential) { Skip-Line 'no local account could be made' }
        $code = Invoke-AsUser "New-Item -ItemType Directory '$Data'; if (-not `$?) { exit 3 }"
        if ($code -ne 0) { Skip-Line "a user may not make $Data here" }
        try { $null = Invoke-Program 'install' -Code 2 } finally { Remove-Item -LiteralPath $Data -Recurse -Force }
    }
    Test-Line 'a junction in the data folder is refused' {
        $null = New-Item -ItemType Directory (Join-Path $Data 'forwarder')
        $null = New-Item -ItemType Junction (Join-Path $Data 'forwarder\log') -Target $env:SystemRoot
        try { $null = Invoke-Program 'install' -Code 2 }
        finally {
            [IO.Directory]::Delete((Join-Path $Data 'forwarder\log'))  # the junction, not what it leads to
            Remove-Item -LiteralPath $Data -Recurse -Force
        }
    }
    Test-Line 'a program that users may change is refused' {
        if ([IO.Path]::GetFileName($Command[0]) -ne 'python.exe') { Skip-Line 'only for a Python' }
        $copy = Join-Path $Scratch 'open'
        $null = New-Item -ItemType Directory $copy
        $list = Get-Acl -LiteralPath $copy
        $everyone = New-Object Security.Principal.SecurityIdentifier('S-1-1-0')
        $list.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule($everyone, 'Modify', 'ContainerInherit, ObjectInherit', 'None', 'Allow')))
        Set-Acl -LiteralPath $copy $list
        $line = "import sys; sys.path.insert(0, sys.argv.pop(1)); from whatchanged.cli.main import main; sys.exit(main(sys.argv[1:]))"
        $ErrorActionPreference = 'Continue'
        & $Command[0] -I -c $line $copy install 2> $null > $null
        $ErrorActionPreference = 'Stop'
        Assert-Equal 2 $LASTEXITCODE 'the exit code'
    }
    Test-Line 'install' { $null = Invoke-Program 'install' }

    foreach ($name in $Forwarder, $Tracker) {
        Test-Line "$($name): registered, quoted, automatic and delayed" {
            $service = Get-CimInstance Win32_Service -Filter "Name='$name'"
            Assert-True ($service.PathName.StartsWith('"')) "the path is $($service.PathName)"
            Assert-Equal 'Auto' $service.StartMode 'the start mode'
            Assert-Equal 1 (Get-Value "$Services\$name" 'DelayedAutostart') 'DelayedAutostart'
            Assert-Equal $(if ($name -eq $Tracker) { 'LocalSystem' } else { "NT SERVICE\$name" }) $service.StartName 'the account'
        }
        Test-Line "$($name): recovery, SID, privileges, time to stop are kept" {
            $actions = Get-Value "$Services\$name" 'FailureActions'
            Assert-True ($null -ne $actions) 'there are no FailureActions'
            # SERVICE_FAILURE_ACTIONS with 32-bit pointers: reset period, two pointers, count, pointer, then the actions.
            Assert-Equal 86400 ([BitConverter]::ToInt32($actions, 0)) 'the reset period'
            Assert-Equal 3 ([BitConverter]::ToInt32($actions, 12)) 'the number of actions'
            $delays = 0..2 | ForEach-Object { [BitConverter]::ToInt32($actions, 20 + 8 * $_ + 4) }
            Assert-Equal '5000 30000 300000' ($delays -join ' ') 'the delays'
            Assert-Equal 1 (Get-Value "$Services\$name" 'FailureActionsOnNonCrashFailures') 'FailureActionsOnNonCrashFailures'
            Assert-Equal 1 (Get-Value "$Services\$name" 'ServiceSidType') 'ServiceSidType'
            Assert-Equal 35000 (Get-Value "$Services\$name" 'PreshutdownTimeout') 'PreshutdownTimeout'
            $kept = @(Get-Value "$Services\$name" 'RequiredPrivileges')
            $wanted = if ($name -eq $Tracker) { 'SeBackupPrivilege SeChangeNotifyPrivilege' } else { 'SeChangeNotifyPrivilege' }
            Assert-Equal $wanted ($kept -join ' ') 'RequiredPrivileges'
        }
    }
    Test-Line 'the SID of the forwarder is the one in the lists' {
        $sid = Get-ServiceSid $Forwarder
        Assert-True ((Get-Acl -LiteralPath $Data).Sddl.Contains($sid)) "$sid is not in the list of $Data"
    }
    foreach ($folder in '', 'tracker', 'forwarder', 'pipe') {
        Test-Line "the list of the data folder\$folder names nobody else" {
            $list = Get-Acl -LiteralPath (Join-Path $Data $folder)
            Assert-True $list.AreAccessRulesProtected 'it takes entries from above'
            $own = 'S-1-5-18', 'S-1-5-32-544', (Get-ServiceSid $Forwarder)
            foreach ($rule in $list.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
                Assert-True ($own -contains $rule.IdentityReference.Value) "$($rule.IdentityReference) has $($rule.FileSystemRights)"
            }
        }
    }
    Test-Line 'tracker and forwarder own their folders' {
        foreach ($pair in @('tracker', 'S-1-5-18'), @('forwarder', (Get-ServiceSid $Forwarder)), @('pipe', (Get-ServiceSid $Forwarder))) {
            $owner = (Get-Acl -LiteralPath (Join-Path $Data $pair[0])).GetOwner([Security.Principal.SecurityIdentifier]).Value
            Assert-Equal $pair[1] $owner "the owner of $($pair[0])"
        }
    }
    Test-Line 'another account cannot list the data folder' {
        if (-not $Credential) { Skip-Line 'no local account could be made' }
        Assert-Equal 5 (Invoke-AsUser "try { [void] [IO.Directory]::GetFileSystemEntries('$Data') } catch [UnauthorizedAccessException] { exit 5 }; exit 0") 'the exit code'
    }

    # --- The forwarder as a service ---

    Test-Line 'the forwarder starts as its virtual account' {
        Start-Service $Forwarder
        $process = Get-CimInstance Win32_Process -Filter "ProcessId=$(Get-Identity $Forwarder)"
        $owner = Invoke-CimMethod -InputObject $process -MethodName GetOwnerSid
        Assert-Equal (Get-ServiceSid $Forwarder) $owner.Sid 'its account'
        Wait-Until { Test-Path -LiteralPath (Join-Path $Data 'forwarder\status.json') } 30 'its status is written'
    }
    Test-Line 'its start is in the event log, in words' {
        Wait-Until { (Get-Events 1 $Begin).Count -gt 0 } 10 'event 1 of whatchanged'
        Assert-Equal 'The whatchanged forwarder started.' (Get-Events 1 $Begin)[0].Message.Trim() 'its text'
    }
    Test-Line 'pipe: administrators may connect' { Open-Pipe '.' (Get-Pipe) }
    Test-Line 'pipe: another account may not' {
        if (-not $Credential) { Skip-Line 'no local account could be made' }
        $line = "try { `$p = New-Object IO.Pipes.NamedPipeClientStream('.', '$(Get-Pipe)', 'InOut'); `$p.Connect(3000) } " +
            "catch { `$e = `$_.Exception; while (`$e.InnerException) { `$e = `$e.InnerException }; " +
            "if (`$e -is [UnauthorizedAccessException]) { exit 5 }; exit 1 }; exit 0"
        Assert-Equal 5 (Invoke-AsUser $line) 'the exit code'
    }
    Test-Line 'pipe: nobody connects from another machine' {
        $pipe = Get-Pipe
        if ((Get-Service LanmanServer -ErrorAction SilentlyContinue).Status -ne 'Running') { Skip-Line 'this machine serves no SMB' }
        Assert-Denied { Open-Pipe $env:COMPUTERNAME $pipe } 'connecting by SMB'
    }
    Test-Line 'pipe: nobody else adds an instance' {
        $pipe = Get-Pipe
        Assert-Denied {
            $second = New-Object IO.Pipes.NamedPipeServerStream($pipe, [IO.Pipes.PipeDirection]::InOut, 254)
            $second.Dispose()
        } 'a second server of the pipe'
    }
    Test-Line 'recovery: a killed forwarder is back after five seconds' {
        $before = Get-Identity $Forwarder
        $killed = Get-Date
        Stop-Process -Id $before -Force
        Wait-Until { $now = Get-Identity $Forwarder; $now -ne 0 -and $now -ne $before } 30 'it runs again'
        Assert-True (((Get-Date) - $killed).TotalSeconds -ge 4) 'it came back without a pause'
    }
    Test-Line 'it stops when asked, and says so' {
        $process = Get-Process -Id (Get-Identity $Forwarder)
        $pipe = Get-Pipe
        Stop-Service $Forwarder
        Assert-True ($process.WaitForExit(10000)) 'its process is still there'
        Wait-Until { (Get-Events 2 $Begin).Count -gt 0 } 10 'event 2 of whatchanged'
        Set-Variable -Scope Script -Name LastPipe -Value $pipe
    }
    Test-Line 'the first instance of the pipe must be the first' {
        if (-not (Get-Variable -Scope Script -Name LastPipe -ErrorAction SilentlyContinue)) { Skip-Line 'the pipe is not known' }
        $squatter = New-Object IO.Pipes.NamedPipeServerStream($LastPipe, [IO.Pipes.PipeDirection]::InOut, 254)
        try {
            try { Start-Service $Forwarder } catch { return }  # it may refuse to start at all
            Start-Sleep -Seconds 5
            $log = Get-Content -LiteralPath (Join-Path $Data 'forwarder\log\forwarder.log') -Raw
            Assert-True ($log -match 'pipe') 'the forwarder says nothing of a pipe that is taken'
            Assert-True (-not $squatter.IsConnected) 'somebody connected to the pipe of another account'
        }
        finally { $squatter.Dispose(); Stop-Service $Forwarder -ErrorAction SilentlyContinue }
    }
    Test-Line 'a service that cannot start says why in the event log' {
        $file = Join-Path $Data 'config.toml'
        Set-Content -LiteralPath $file 'no_such_setting = 1' -Encoding Ascii
        $since = Get-Date
        try {
            try { Start-Service $Forwarder -ErrorAction Stop } catch { Write-Verbose 'as it should be' }
            Wait-Until { (Get-Events 3 $since).Count -gt 0 } 30 'event 3 of whatchanged'
            Assert-True ((Get-Events 3 $since)[0].Message -match 'no_such_setting') 'it does not name the setting'
        }
        finally { Remove-Item -LiteralPath $file; Stop-Service $Forwarder -ErrorAction SilentlyContinue }
    }
    Test-Line 'the tracker starts as LocalSystem' {
        Start-Service $Tracker
        $process = Get-CimInstance Win32_Process -Filter "ProcessId=$(Get-Identity $Tracker)"
        Assert-Equal 'S-1-5-18' (Invoke-CimMethod -InputObject $process -MethodName GetOwnerSid).Sid 'its account'
    }
    Test-Line 'tracker and forwarder know each other' {
        if ((Get-Service $Tracker).Status -ne 'Running') { Skip-Line 'the tracker does not run' }
        Start-Service $Forwarder
        Wait-Until { Test-Path -LiteralPath (Join-Path $Data 'forwarder\Tables\TRACKING_HEALTH.db') } 60 'records arrive'
        $status = Get-Rows 'status'
        Assert-True ("$($status | ConvertTo-Json -Depth 8)" -notmatch 'is served by account') 'the tracker refuses the forwarder'
    }
    Test-Line 'doctor finds nothing wrong with the services' {
        $found = Invoke-Program @('doctor', '--json') -Code 1 | ConvertFrom-Json  # 1: nothing is enrolled
        foreach ($row in $found) {
            if ($row.Check -in 'data folder', 'program', 'event log', $Forwarder, $Tracker) {
                Assert-Equal 'Ok' $row.Status "$($row.Check) ($($row.Detail))"
            }
        }
    }
    Test-Line 'install again: what ran goes on' {
        $before = Get-Identity $Forwarder
        $null = Invoke-Program 'install'
        Assert-Equal 'Running' (Get-Service $Forwarder).Status 'the state'
        Assert-True ((Get-Identity $Forwarder) -ne $before) 'it was not restarted'
    }

    # --- What is collected ---

    Test-Line 'services: as many as Windows has' {
        $rows = @(Get-Rows @('inventory', 'services'))
        $wanted = @(Get-CimInstance Win32_Service)
        $missing = @($wanted | Where-Object { $rows.SvcName -notcontains $_.Name })
        Assert-True ($missing.Count -eq 0) "without $(($missing | ForEach-Object Name) -join ', ')"
    }
    Test-Line 'Store packages of this user are in the software' {
        $packages = @(Get-AppxPackage -ErrorAction SilentlyContinue | Where-Object { -not $_.IsFramework })
        if (-not $packages) { Skip-Line 'there are none' }
        $names = (@(Get-Rows @('inventory', 'software')) | ForEach-Object SoftwareName) -join "`n"
        $missing = @($packages | Where-Object { -not $names.Contains($_.Name) })
        Assert-True ($missing.Count -eq 0) "without $(($missing | ForEach-Object Name) -join ', ')"
    }
    Test-Line 'hives of signed-out users are read, and left alone' {
        $loaded = @([Microsoft.Win32.Registry]::Users.GetSubKeyNames())
        $out = @(Get-ChildItem 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList' |
            Where-Object { $_.PSChildName -like 'S-1-5-21-*' -and $loaded -notcontains $_.PSChildName })
        if (-not $out) { Skip-Line 'nobody is signed out' }
        $null = Invoke-Program @('inventory', 'software', '--json')
        $said = Get-Content (Join-Path $Scratch 'stderr.txt') -Raw
        foreach ($user in $out) { Assert-True ("$said" -notmatch [regex]::Escape($user.PSChildName)) "$($user.PSChildName): $said" }
        $after = @([Microsoft.Win32.Registry]::Users.GetSubKeyNames())
        Assert-Equal ($loaded -join ' ') ($after -join ' ') 'what is loaded'
    }
    Test-Line 'hot fixes' {
        $fixes = @(Get-HotFix -ErrorAction SilentlyContinue | ForEach-Object HotFixID)
        if (-not $fixes) { Skip-Line 'there are none' }
        $text = Invoke-Program @('inventory', 'patches', '--json')
        $missing = @($fixes | Where-Object { -not $text.Contains($_) })
        Assert-True ($missing.Count -eq 0) "without $($missing -join ', ')"
    }

    $tree = Join-Path $Scratch 'tree'
    $null = New-Item -ItemType Directory (Join-Path $tree 'real')
    Set-Content -LiteralPath (Join-Path $tree 'real\file.txt') 'x' -Encoding Ascii
    Set-Content -LiteralPath (Join-Path $tree 'real\file.txt') -Stream 'zone' 'hidden' -Encoding Ascii
    $null = New-Item -ItemType Junction (Join-Path $tree 'junction') -Target $env:SystemRoot
    $rule = @{
        properties = @{
            dataSources = @{
                extensions = @(@{
                    name = 'acceptance'; extensionName = 'ChangeTracking-Windows'
                    streams = @('Microsoft-ConfigurationChange', 'Microsoft-ConfigurationData')
                    extensionSettings = @{
                        enableFiles = $true
                        fileSettings = @{ fileInfo = @(@{ name = 'tree'; enabled = $true; destinationPath = "$tree\*"; path = "$tree\*"; recurse = $true; recursive = $true; type = 'File'; links = 'Follow' }) }
                    }
                })
            }
        }
    }
    $ruleFile = Join-Path $Scratch 'rule.json'
    [IO.File]::WriteAllText($ruleFile, ($rule | ConvertTo-Json -Depth 12))

    Test-Line 'files: alternate data streams are seen, junctions are not followed out' {
        $rows = @(Get-Rows @('collect', 'files', '--rule', $ruleFile))
        $paths = @($rows | ForEach-Object FileSystemPath)
        Assert-True (($rows | ConvertTo-Json -Depth 6) -match 'zone') "no stream is told of: $($paths -join ', ')"
        $outside = @($paths | Where-Object { $_ -like '*explorer.exe' -and $_ -notlike "$env:SystemRoot*" })
        Assert-True ($outside.Count -eq 0) "what is behind the junction has a path in front of it: $($outside -join ', ')"
    }

    Test-Line 'rules check counts what a rule takes here' {
        $rows = @(Get-Rows @('rules', 'check', $ruleFile) | Where-Object Kind -EQ 'Files')
        Assert-Equal 1 $rows.Count 'the number of file rules'
        Assert-Equal 1 $rows[0].Items 'what it takes: the file, and nothing behind the junction'
    }

    # --- The suites, which show what needs a program of its own (notifications of services, the registry, folders) ---

    foreach ($suite in 'tests/unit/ipc', 'tests/integration/windows') {
        Test-Line "suite $suite" {
            if (-not $Checkout) { Skip-Line 'no -Checkout' }
            if ([IO.Path]::GetFileName($Command[0]) -ne 'python.exe') { Skip-Line 'only for a Python' }
            Push-Location $Checkout
            try {
                $ErrorActionPreference = 'Continue'
                $said = & $Command[0] -m pytest -q -p no:cacheprovider $suite --ignore tests/integration/windows/test_signed_out_users.py 2>&1
                $ErrorActionPreference = 'Stop'
                if ($LASTEXITCODE -ne 0) { throw (($said | Select-Object -Last 15) -join "`n") }
            }
            finally { Pop-Location }
        }
    }

    # --- The end ---

    Test-Line 'uninstall leaves no service and no event source' {
        $null = Invoke-Program @('uninstall', '--purge')
        Assert-True (-not (Get-Service $Forwarder, $Tracker -ErrorAction SilentlyContinue)) 'a service is left'
        Assert-True (-not (Test-Path "$Services\EventLog\Application\whatchanged")) 'the event source is left'
        Assert-True (@(Get-ChildItem -LiteralPath $Data -Force).Count -eq 0) "something is left in $Data"
    }
}
finally {
    if (Get-Service $Forwarder, $Tracker -ErrorAction SilentlyContinue) { try { $null = Invoke-Program @('uninstall', '--purge') } catch { Write-Warning $_ } }
    $junction = Join-Path $Scratch 'tree\junction'
    if (Test-Path -LiteralPath $junction) { [IO.Directory]::Delete($junction) }
    foreach ($folder in $Data, $Scratch) { if (Test-Path -LiteralPath $folder) { Remove-Item -LiteralPath $folder -Recurse -Force } }
    if ($Credential) { Remove-LocalUser -Name $Account }
}

$failed = @($Results | Where-Object Result -EQ 'fail')
if ($Json) { ConvertTo-Json @($Results) }
else {
    $skipped = @($Results | Where-Object Result -EQ 'skip')
    Write-Output "$($Results.Count - $failed.Count - $skipped.Count) passed, $($failed.Count) failed, $($skipped.Count) skipped"
}
exit $(if ($failed) { 1 } else { 0 })
